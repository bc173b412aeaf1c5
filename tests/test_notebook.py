"""The example notebook runs in a real kernel, and prints what is stored in it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("nbclient", reason="of the extra `test`")
pytest.importorskip("ipykernel", reason="of the extra `test`")

import nbformat

from wordmask_bench.documents import notebook

PATH = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"


@pytest.fixture(scope="module")
def done():
    return notebook.execute(PATH)


def outputs(document) -> list:
    return [output for cell in document.cells for output in cell.get("outputs", [])]


def test_the_notebook_prints_what_is_stored_in_it(done):
    stored = nbformat.read(PATH, as_version=4)
    nbformat.validate(stored)
    assert {output.get("name") for output in outputs(stored)} == {"stdout"}
    assert notebook.printed(done) == notebook.printed(stored), (
        "run: python -m wordmask_bench.documents.notebook examples/quickstart.ipynb"
    )
    assert "3 objects" in notebook.printed(stored)[1]


def test_the_notebook_draws_its_result(done):
    (drawn,) = (output for output in outputs(done) if "text/html" in output.get("data", {}))
    assert "<img" in drawn.data["text/html"]


def test_what_a_run_printed_is_stored_and_nothing_else(done, tmp_path, monkeypatch):
    path = Path(shutil.copy(PATH, tmp_path))
    before = nbformat.read(path, as_version=4)
    path.write_text(path.read_text(encoding="utf-8").replace("3 objects", "5 objects"), encoding="utf-8")
    monkeypatch.setattr(notebook, "execute", lambda place: done)
    notebook.store(path)
    after = nbformat.read(path, as_version=4)
    assert notebook.printed(after) == notebook.printed(before)
    assert len(outputs(after)) == len(outputs(before))
