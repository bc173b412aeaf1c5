"""The documentation site is built without a warning, has every page, and documents every public name."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from pydoc import locate
from typing import is_typeddict

import pytest

import wordmask

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = (ROOT / "docs" / "reference.rst").read_text(encoding="utf-8")
MODULES = re.findall(r"^\.\. automodule:: (\S+)$", REFERENCE, re.MULTILINE)
NAMED = re.findall(r"^\.\. auto(?:class|function):: (\S+)$", REFERENCE, re.MULTILINE)


def names() -> list[str]:
    """Everything that the reference documents, by its full name."""
    found = list(NAMED)
    for module in map(locate, MODULES):
        own = [name for name, thing in vars(module).items() if getattr(thing, "__module__", "") == module.__name__]
        public = getattr(module, "__all__", None) or [name for name in own if not name.startswith("_")]
        found += [f"{module.__name__}.{name}" for name in public]
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("sphinx", reason="of the extra `test`")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_in_the_site_and_in_its_navigation(site):
    first = (site / "README.html").read_text(encoding="utf-8")
    assert "url=README.html" in (site / "index.html").read_text(encoding="utf-8")
    for path in (ROOT / "docs").rglob("*.md"):
        page = path.relative_to(ROOT).with_suffix(".html").as_posix()
        assert (site / page).exists()
        assert f'href="{page}"' in first


def test_the_reference_shows_every_name_with_what_classes_inherit(site):
    text = (site / "docs" / "reference.html").read_text(encoding="utf-8")
    shown = set(re.findall(r'id="(wordmask[\w.]*)"', text))
    assert {f"wordmask.{name}" for name in wordmask.__all__ if name != "WordmaskError"} <= shown
    assert set(names()) <= shown
    assert {"wordmask.Segmenter.stream", "wordmask.Segmenter.__call__", "wordmask.Result.masks"} <= shown


def parts(thing):
    """A name and its public members, each with what its documentation must speak of."""
    if not inspect.isclass(thing):
        yield thing, list(inspect.signature(thing).parameters)
        return
    if is_dataclass(thing):
        yield thing, [field.name for field in fields(thing)]
    else:
        yield thing, list(thing.__annotations__) if is_typeddict(thing) else []
        if getattr(vars(thing).get("__init__"), "__doc__", None):
            yield thing.__init__, list(inspect.signature(thing).parameters)
    for name, member in vars(thing).items():
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
            yield member, []


@pytest.mark.parametrize("name", names())
def test_every_public_name_is_documented_with_all_its_arguments(name):
    for what, named in parts(locate(name)):
        text = inspect.getdoc(what) or ""
        assert text, what
        if len(named) > 1 and "arguments and errors are those of" not in text:
            assert [name for name in named if name not in text] == []
