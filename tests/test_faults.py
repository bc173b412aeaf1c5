"""docs/faults.md names tests that exist, at least one for every fault."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "docs" / "faults.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (\d+) \| .* \| (.*) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
FAULTS = range(1, 117)


def rows() -> list[tuple[int, list[tuple[str, str]]]]:
    """Number and tests of each row."""
    return [(int(number), NAME.findall(tests)) for number, tests in ROW.findall(TEXT)]


def test_every_fault_has_one_row_in_order() -> None:
    assert [number for number, _ in rows()] == list(FAULTS)


def test_every_row_has_a_test() -> None:
    assert [number for number, tests in rows() if not tests] == []


def test_every_test_that_is_named_exists() -> None:
    named = {test for _, tests in rows() for test in tests}
    assert TEXT.count("::") == sum(len(tests) for _, tests in rows())  # none is written so that it is not seen here
    trees = {file: ast.parse((TESTS / file).read_text(encoding="utf-8")) for file, _ in named}
    there = {
        (file, node.name) for file, tree in trees.items() for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    assert named - there == set()
