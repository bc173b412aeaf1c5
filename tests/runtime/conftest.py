"""Fixtures of the runtime's tests: the command line with a segmenter that needs no graphs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SITE = """
import os, sys
if "WORDMASK_WORKER" in os.environ or "STUB_EVERYWHERE" in os.environ:
    sys.path.append({here!r})
    import stub_segmenter
    stub_segmenter.install()
"""


@pytest.fixture(scope="session")
def stub_environment(tmp_path_factory):
    """An environment in which `python -m wordmask` segments with StubSegmenter."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "sitecustomize.py").write_text(SITE.format(here=str(Path(__file__).parent)))
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "STUB_DELAY": "0.02"}
