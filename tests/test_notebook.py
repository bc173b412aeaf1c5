"""The example notebook runs in a real kernel, and prints what is stored in it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import wordmask

nbformat = pytest.importorskip("nbformat", reason="of the extra `test`")
pytest.importorskip("ipykernel", reason="of the extra `test`")

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def printed(notebook) -> list[str]:
    """What each cell of code printed."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in cells]


def test_the_notebook_prints_what_is_stored_and_draws_its_result(monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(wordmask.__file__).parents[1]), *sys.path]))
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    nbformat.validate(notebook)
    stored = printed(notebook)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES)}}).execute()
    assert printed(notebook) == stored
    assert any("4 objects" in text for text in stored)
    drawn = [o for cell in notebook.cells for o in cell.get("outputs", []) if "text/html" in o.get("data", {})]
    assert len(drawn) == 1
    assert "<img" in drawn[0].data["text/html"]
