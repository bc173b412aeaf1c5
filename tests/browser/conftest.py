"""The browser that looks at wordmask's pages; its tests are skipped where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where pictures of the pages are kept: the folder `screenshots` of the test run, for all of pytest's processes."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "screenshots"
    folder.mkdir(exist_ok=True)
    yield folder
    sys.stderr.write(f"\nscreenshots: {folder}\n")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory, screenshots: Path):
    pytest.importorskip("selenium", reason="selenium is not installed: pip install '.[test]'")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no Chromium with its driver: apt-get install chromium chromium-driver")
    from chromium import Chromium

    window = Chromium(browser, driver, tmp_path_factory.mktemp("profile"), screenshots)
    yield window
    window.driver.quit()
