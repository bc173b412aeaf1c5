"""Fixtures of the runtime's tests: the command line with a segmenter that needs no graphs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def stub_environment(tmp_path_factory):
    """An environment in which `python -m wordmask` segments with StubSegmenter."""
    folder = tmp_path_factory.mktemp("stub")
    lines = ("import sys", f"sys.path.append({str(Path(__file__).parent)!r})", "import stub_segmenter")
    (folder / "sitecustomize.py").write_text("\n".join((*lines, "stub_segmenter.install()\n")))
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "STUB_DELAY": "0.02"}
