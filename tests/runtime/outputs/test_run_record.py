"""run.json: added up from the journal, and read back."""

from __future__ import annotations

import json

import pytest

from wordmask.outputs.rows import DoneRow, FailedRow
from wordmask.outputs.run_record import BundleRecord, RunRecord, reduction

BUNDLE = BundleRecord("x", "photos", "fp32", {"clip": "ViT-B-16"}, True)


def done(prompts: int, seconds: float) -> DoneRow:
    return DoneRow(
        photo="a.jpg",
        name="a",
        notes=[],
        height=3,
        width=4,
        instances=2,
        prompts=prompts,
        word_confidence={"cat": 0.5},
        seconds={"clip": seconds},
    )


@pytest.fixture
def record() -> RunRecord:
    failed = FailedRow(photo="b.jpg", name="b", status="DECODE", error="?")
    rows = [done(1, 0.5), failed, done(4, 0.25)]
    return RunRecord.of(rows, {"device": "cpu", "threads": None}, BUNDLE, finished=True, done_before=1, seconds=4.0)


def test_the_rows_of_a_journal_are_added_up(record: RunRecord) -> None:
    totals = record.totals
    assert (totals.photos, totals.done, totals.instances) == (3, 2, 4)
    assert totals.statuses == {"DECODE": 1, "ok": 2}
    assert totals.images_per_second == 0.5  # two photos in four seconds: an earlier run did the third
    assert record.stage_seconds["clip"].mean == record.stage_seconds["clip"].median == 0.375
    assert record.prompts_per_image == 2.5


def test_what_is_written_is_read(record: RunRecord) -> None:
    assert RunRecord.parse(record.to_bytes()) == record


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("finished", 1, "run.json.finished is 1, expected bool"),
        ("settings", [], "run.json.settings is .*, expected dict"),
        ("bundle", {"id": "x"}, "run.json.bundle.domain is missing"),
        ("totals", {"photos": "3"}, "run.json.totals.* is missing"),
    ],
)
def test_what_no_run_wrote_is_refused_by_the_field(field: str, value: object, message: str, record: RunRecord) -> None:
    content = {**json.loads(record.to_bytes()), field: value}
    with pytest.raises(ValueError, match=message):
        RunRecord.parse(json.dumps(content).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError):
        RunRecord.parse(content)


def test_the_reduction_is_the_share_of_the_grid_that_is_saved() -> None:
    assert reduction(32, 1024) == pytest.approx(0.96875)
    assert reduction(0, 4096) == 1.0
    assert reduction(5000, 4096) == 0.0
