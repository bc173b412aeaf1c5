"""Runs the example notebook in a kernel of its own and stores what its cells printed, without pictures and warnings.

python -m wordmask_bench.documents.notebook examples/quickstart.ipynb
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nbformat
from nbclient import NotebookClient


def execute(path: Path, seconds: int = 120) -> Any:
    """The notebook with all outputs of a run in its own folder, which imports what this process imports.

    Args:
        path: of the notebook.
        seconds: the longest that a cell may take.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    folder = str(path.resolve().parent)
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(str(Path(place).resolve()) for place in sys.path)):
        NotebookClient(notebook, timeout=seconds, resources={"metadata": {"path": folder}}).execute()
    return notebook


def printed(notebook: Any) -> list[str]:
    """What each cell of code printed, its errors left out."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(o.text for o in cell.outputs if o.get("name") == "stdout") for cell in cells]


def store(path: Path) -> None:
    """Replaces the outputs in a notebook's file by what a run prints."""
    texts = iter(printed(execute(path)))
    notebook = nbformat.read(path, as_version=4)
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        text = next(texts)
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []
        cell.execution_count = None
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    store(Path(sys.argv[1]))
