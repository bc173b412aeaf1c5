"""docs/python.md is what the source says, and the source says enough."""

from __future__ import annotations

import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import is_typeddict

import pytest

from wordmask_bench.documents.python_reference import SECTIONS, members, prose, public, reference, signature

PAGE = Path(__file__).resolve().parents[3] / "docs" / "python.md"
NAMES = [
    pytest.param(thing, id=f"{module}.{name}") for _, module, names in SECTIONS for name, thing in public(module, names)
]


def test_the_page_is_the_one_that_the_source_makes():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "python -m wordmask_bench.documents.python_reference docs/python.md"
    )


def parts(thing):
    """A name and its public members, each with what its documentation must speak of."""
    if not inspect.isclass(thing):
        yield thing, list(inspect.signature(thing).parameters)
    elif is_dataclass(thing):
        yield thing, [field.name for field in fields(thing)]
    elif is_typeddict(thing):
        yield thing, list(thing.__annotations__)
    else:
        yield thing, []
        if getattr(vars(thing).get("__init__"), "__doc__", None):
            yield thing.__init__, list(inspect.signature(thing).parameters)
    for name, member in members(thing).items() if inspect.isclass(thing) else ():
        if not name.startswith("_") and (callable(member) or isinstance(member, property | classmethod)):
            yield member, []


@pytest.mark.parametrize("thing", NAMES)
def test_every_public_name_is_documented_with_all_its_arguments(thing):
    for what, named in parts(thing):
        text = inspect.getdoc(what) or ""
        assert text, what
        if len(named) > 1 and "arguments and errors are those of" not in text:
            assert [name for name in named if name not in text] == []


def test_a_class_has_what_its_bases_give_it():
    class Base:
        def first(self): ...

        def second(self): ...

    class Child(Base):
        def second(self): ...

        def third(self, **choices: int): ...

    Base.__module__ = Child.__module__ = "wordmask.made_up"
    found = members(Child)
    assert [name for name in found if not name.startswith("_")] == ["first", "second", "third"]
    assert found["second"] is Child.second
    assert signature(Child.third) == "(**choices: int)"


def test_docstrings_become_lists():
    def documented(side: int, *, words: str = "a") -> bool:
        """Does it.

        Args:
            side: in pixels,
                at least 1.
            words: any.

        Raises:
            ValueError: none.
        """

    assert signature(documented) == "(side: int, *, words: str = 'a') -> bool"
    assert prose(documented).splitlines() == [
        *("Does it.", "", "Args:", "", "- `side`: in pixels,", "  at least 1.", "- `words`: any.", ""),
        *("Raises:", "", "- `ValueError`: none."),
    ]
