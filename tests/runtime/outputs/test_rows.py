"""Rows of a journal: what is written is read back, and nothing else is."""

from __future__ import annotations

import json

import pytest

from wordmask.outputs.rows import DiedRow, DoneRow, FailedRow, StartedRow, UnfinishedRow, parse_row, row_bytes

DONE = DoneRow(
    photo="in/a.jpg",
    name="a",
    bytes=7,
    modified_ns=-5,  # before 1970
    notes=["a note"],
    height=3,
    width=4,
    instances=1,
    prompts=2,
    word_confidence={"cat": 0.75},
    seconds={"clip": 0.5},
)
ROWS = {
    "started": StartedRow(photo="in/a.jpg", name="a", process=12),
    "unfinished": UnfinishedRow(name="a", deaths=1),
    "died": DiedRow(process=12, signal="SIGKILL"),
    "ok": DONE,
    "DECODE": FailedRow(photo="in/a.jpg", name="a", bytes=7, modified_ns=8, status="DECODE", error="cut"),
    "IO": FailedRow(photo="s3://b/a.jpg", name="a", bytes=7, etag="0f", status="IO", error="changed"),
    "QUARANTINED": FailedRow(photo="s3://b/caf\udce9.jpg", name="caf\udce9", status="QUARANTINED", error="died"),
}


@pytest.mark.parametrize("status", ROWS)
def test_a_row_is_read_back_as_it_was_written(status):
    line = row_bytes(ROWS[status])
    assert parse_row(line) == ROWS[status]
    assert json.loads(line)["status"] == status
    assert line.endswith(b"\n")
    assert b"null" not in line


def test_the_fields_of_a_photos_row_stand_in_a_fixed_order():
    common = ["photo", "name", "bytes", "modified_ns", "status"]
    in_store = ["photo", "name", "bytes", "etag", "status"]
    results = ["notes", "height", "width", "instances", "prompts", "word_confidence", "seconds"]
    assert list(json.loads(row_bytes(DONE))) == [*common, *results]
    assert list(json.loads(row_bytes(ROWS["DECODE"]))) == [*common, "error"]
    assert list(json.loads(row_bytes(ROWS["IO"]))) == [*in_store, "error"]


@pytest.mark.parametrize("value", [3, None, ["0f"]], ids=repr)
def test_a_row_with_an_etag_that_is_no_text_is_passed_over(value):
    assert parse_row(json.dumps({**json.loads(row_bytes(ROWS["IO"])), "etag": value}).encode()) is None


@pytest.mark.parametrize(("status", "stamp"), [("ok", (7, -5)), ("IO", (7, "0f")), ("QUARANTINED", None)])
def test_a_photos_row_gives_the_stamp_that_it_was_made_of(status, stamp):
    assert ROWS[status].stamp == stamp
    assert parse_row(row_bytes(ROWS[status])).stamp == stamp


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("name", value) for value in ("", "..", "../a", "/a", "a\0b", "x" * 300, 3, None)],
        *[("instances", value) for value in (-1, 1.0, True, 10**400, "1", None)],
        *[("seconds", value) for value in ({"clip": -0.5}, {"clip": "0.5"}, [], None)],
        *[("notes", value) for value in ("a note", [3])],
        *[("status", value) for value in (3, ["ok"], None, "started", "died")],
    ],
    ids=repr,
)
def test_a_row_that_no_run_writes_is_passed_over(field, value):
    row = json.loads(row_bytes(DONE))
    assert parse_row(json.dumps({**row, field: value}).encode()) is None
    assert parse_row(json.dumps({key: row[key] for key in row if key != field}).encode()) is None
