"""A later run into the same folder: it goes on where the first ended, or says why it cannot."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass

import pytest
from PIL import Image

from folder_runs import results, rows, run, statuses
from stub_segmenter import StubSegmenter, write_photos
from wordmask.errors import OutputError, ResumeError
from wordmask.options import REUSE_MAY_DIFFER
from wordmask.outputs.lock import run_lock
from wordmask.run.execution import StoppedError
from wordmask.run.request import OutputOptions
from wordmask.system.files import TEMPORARY
from wordmask.types import Options


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "in", 6)


@pytest.fixture
def half(photos, tmp_path):
    """A run that was stopped after three photos."""
    stop = threading.Event()
    with pytest.raises(StoppedError):
        run(photos, tmp_path / "out", stop=stop, progress=lambda done: stop.set() if done == 3 else None, in_flight=1)
    return tmp_path / "out"


@pytest.fixture
def whole(photos, tmp_path):
    run(photos, tmp_path / "whole")
    return results(tmp_path / "whole")


def test_a_continued_run_does_only_what_is_left(photos, half, whole):
    segmenter, told = StubSegmenter(), []
    run(photos, half, segmenter=segmenter, log=told.append)
    assert len(segmenter.calls) == 3
    assert told[0] == "continued: 3 of 6 photos are done"
    assert results(half) == whole


def test_running_again_when_all_is_done_changes_nothing(photos, half, whole):
    run(photos, half)
    segmenter = StubSegmenter()
    record = run(photos, half, segmenter=segmenter)
    assert not segmenter.calls
    assert record.totals.statuses == {"ok": 6}
    assert results(half) == whole


@pytest.mark.parametrize("torn", [1, 30, -1])
def test_a_torn_last_line_is_dropped_and_its_photo_done_again(photos, half, whole, torn):
    journal = half / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    finished = [line for line in lines if b'"ok"' in line]
    journal.write_bytes(b"".join(finished[:-1]) + finished[-1][:torn])
    segmenter = StubSegmenter()
    run(photos, half, segmenter=segmenter)
    assert len(segmenter.calls) == 4
    assert results(half) == whole


def test_a_journal_with_garbage_in_it_costs_only_the_photos_it_hit(photos, half, whole):
    journal = half / "journal.jsonl"
    lines = [line for line in journal.read_bytes().splitlines(keepends=True) if b'"ok"' in line]
    journal.write_bytes(lines[0] + b"\0" * len(lines[1]) + b'\n[1]\n{"status": 3}\n{"name": "004"}\n' + lines[2])
    run(photos, half)
    assert results(half) == whole


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"options": Options(min_confidence=0.5)}, "min_confidence was 0.7 and is now 0.5"),
        ({"words": ("red", "blue")}, 'vocabulary was ["red", "green"] and is now ["red", "blue"]'),
        ({"segmenter": StubSegmenter(bundle_id="other")}, 'bundle was "stub" and is now "other"'),
        ({"outputs": OutputOptions(overlay=True)}, "overlay was false and is now true"),
        ({"settings": {"device": "cuda"}}, 'device was null and is now "cuda"'),
    ],
    ids=["threshold", "words", "bundle", "outputs", "device"],
)
def test_another_run_is_refused_and_the_difference_named(photos, half, changes, told):
    before = results(half)
    with pytest.raises(ResumeError) as refusal:
        run(photos, half, **changes)
    assert told in str(refusal.value)
    assert "--restart" in str(refusal.value)
    assert results(half) == before


def test_what_changes_no_result_may_differ(photos, half):
    run(photos, half, in_flight=4, settings={"threads": 1, "photos": ["elsewhere"]})
    assert statuses(half) == dict.fromkeys((f"{i:03d}" for i in range(6)), "ok")


def test_a_photo_that_changed_since_it_was_done_is_refused_by_name(photos, half):
    Image.new("RGB", (20, 20)).save(photos / "001.png")
    with pytest.raises(ResumeError, match=r"001\.png' has changed since"):
        run(photos, half)


def test_a_photo_that_was_done_and_is_gone_is_refused_by_name(photos, half):
    (photos / "001.png").unlink()
    with pytest.raises(ResumeError, match=r"001\.png' is not among the photos now"):
        run(photos, half)


def test_a_photo_whose_outputs_would_be_named_otherwise_is_refused(photos, half):
    Image.new("RGB", (20, 20)).save(photos / "001.jpg")
    with pytest.raises(ResumeError, match=r"was written as '001', and would now be '001\.png'"):
        run(photos, half)


def test_photos_not_yet_done_may_come_go_and_change(photos, half, tmp_path):
    (photos / "004.png").unlink()
    Image.new("RGB", (20, 20), (250, 9, 9)).save(photos / "005.png")
    Image.new("RGB", (30, 20), (250, 9, 9)).save(photos / "000a.png")
    run(photos, half)
    run(photos, tmp_path / "fresh")
    assert results(half) == results(tmp_path / "fresh")


def test_an_output_that_is_gone_is_made_again(photos, half, whole):
    (half / "semantic" / "000.png").unlink()
    (half / "annotations" / "001.json").unlink()
    segmenter = StubSegmenter()
    run(photos, half, segmenter=segmenter)
    assert len(segmenter.calls) == 5
    assert results(half) == whole


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"height": 1, "width": "1", "annotations": []}', "[" * 99_999],
    ids=["empty", "list", "nothing", "type", "deep"],
)
def test_annotations_of_a_photo_that_are_none_are_named(photos, half, content):
    (half / "annotations" / "001.json").write_text(content)
    with pytest.raises(OutputError, match=r"annotations/001\.json' cannot be read .*: remove it and run again"):
        run(photos, half)
    (half / "annotations" / "001.json").unlink()
    assert run(photos, half).totals.statuses == {"ok": 6}


def test_photos_that_failed_are_tried_again(photos, tmp_path):
    (photos / "002.png").rename(tmp_path / "aside.png")
    (photos / "002.png").write_bytes(b"")
    out = tmp_path / "out"
    run(photos, out)
    assert statuses(out)["002"] == "EMPTY"
    (tmp_path / "aside.png").replace(photos / "002.png")
    run(photos, out)
    run(photos, tmp_path / "fresh")
    assert results(out) == results(tmp_path / "fresh")


def test_restart_clears_the_earlier_run_and_nothing_else(photos, half, tmp_path):
    (half / "notes.txt").write_text("mine")
    (half / "semantic" / "mine.png").write_text("mine")
    for folder in (half, half / "semantic"):
        (folder / f"{TEMPORARY}x1y2z3").write_text("left by a killed run")
    (photos / "001.png").rename(photos / "other.png")
    run(photos, half, words=("blue",), restart=True)
    run(photos, tmp_path / "fresh", words=("blue",))
    left = results(half)
    assert left.pop("notes.txt") == left.pop("semantic/mine.png") == b"mine"
    assert left == results(tmp_path / "fresh")


def test_outputs_of_an_unfinished_photo_that_is_gone_are_cleared(photos, half, tmp_path):
    (half / "semantic" / "005.png").write_bytes(b"renamed, then the process was killed")
    with (half / "journal.jsonl").open("a") as journal:
        journal.write('{"photo": "x", "name": "005", "status": "started", "process": 1}\n')
    (photos / "005.png").unlink()
    run(photos, half)
    run(photos, tmp_path / "fresh")
    assert results(half) == results(tmp_path / "fresh")


def test_totals_that_no_run_wrote_are_not_overwritten(photos, tmp_path):
    out = tmp_path / "dataset"
    out.mkdir()
    (out / "annotations.json").write_text("mine")
    for restart in (False, True):
        with pytest.raises(ResumeError, match="which no run into it wrote"):
            run(photos, out, restart=restart)
    assert (out / "annotations.json").read_text() == "mine"


def test_a_journal_without_its_run_is_refused(photos, half):
    (half / "run.json").write_text("{}")
    with pytest.raises(ResumeError, match=r"no run\.json with its settings"):
        run(photos, half)


@pytest.mark.parametrize("name", ["../../victim", "/{}/victim"])
def test_a_journal_cannot_have_files_outside_its_folder_removed(photos, half, tmp_path, name):
    (tmp_path / "victim.png").write_text("mine")
    row = {"photo": "x", "name": name.format(tmp_path), "status": "started", "process": 1}
    with (half / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(row) + "\n")
    run(photos, half, restart=True)
    assert (tmp_path / "victim.png").read_text() == "mine"


def test_a_second_run_into_the_same_folder_is_refused(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("wordmask.outputs.lock.LOCK_TIMEOUT", 0.1)
    out = tmp_path / "out"
    with run_lock(out), pytest.raises(ResumeError, match=rf"another run \(process {os.getpid()} on .*\) writes to"):
        run(photos, out)
    run(photos, out)
    assert len(rows(out)) == 6


@pytest.mark.parametrize(
    ("first", "then", "difference", "same"),
    [
        ({}, {"min_confidence": 0.5}, "min_confidence was 0.7 and is now 0.5", "with --min-confidence 0.7"),
        ({"iou_threshold": 0.9}, {}, "iou_threshold was 0.9 and is now 0.8", "with --iou-threshold 0.9"),
        ({}, {"min_score": 0.0}, "min_score was 0.26 and is now 0.0", "with --min-score 0.26"),
        ({}, {"overlay": True}, "overlay was false and is now true", "without --overlay"),
        ({"overlay": True}, {}, "overlay was true and is now false", "with --overlay"),
        ({}, {"stride": 64}, "stride was null and is now 64", "without --stride"),
        ({"use_loftup": False}, {}, "use_loftup was false and is now null", "with --no-loftup"),
        ({}, {"use_loftup": False}, "use_loftup was null and is now false", "without --use-loftup and --no-loftup"),
        (
            {},
            {"mask_prompts": False},
            "mask_prompts was null and is now false",
            "without --mask-prompts and --no-mask-prompts",
        ),
        (
            {"min_score": 0.1, "overlay": True},
            {"words": ("red",)},
            'vocabulary was ["red", "green"] and is now ["red"]; min_score was 0.1 and is now 0.26; '
            "overlay was true and is now false",
            "with the same vocabulary, with --min-score 0.1, with --overlay",
        ),
    ],
)
def test_a_run_with_other_choices_is_told_how_to_continue_the_earlier_one(
    photos, tmp_path, first, then, difference, same
):
    def go(choices):
        fields = {name: value for name, value in choices.items() if name not in ("overlay", "words")}
        outputs = OutputOptions(overlay=choices.get("overlay", False))
        words = choices.get("words", ("red", "green"))
        run(photos, tmp_path / "out", segmenter=Chosen(), options=Options(**fields), outputs=outputs, words=words)

    go(first)
    before = results(tmp_path / "out")
    with pytest.raises(ResumeError) as caught:
        go(then)
    way = f"to continue it run {same}; else give another --output, or start afresh with --restart"
    if {*first, *then} <= {*REUSE_MAY_DIFFER}:
        way += " (after a run with --keep-intermediate, --reuse makes such changes faster)"
    assert str(caught.value) == f"{tmp_path / 'out'} holds another run: {difference}: {way}"
    assert results(tmp_path / "out") == before


class Chosen(StubSegmenter):
    """Windows of 224 pixels."""

    def __init__(self):
        super().__init__()
        self.manifest.clip = Windows(224, 112)


@dataclass(frozen=True)
class Windows:
    window: int
    stride: int


def test_a_report_asked_for_later_is_made_of_what_is_there(photos, tmp_path):
    run(photos, tmp_path / "out")
    segmenter = StubSegmenter()
    run(photos, tmp_path / "out", segmenter=segmenter, outputs=OutputOptions(report=True))
    assert not segmenter.calls
    assert (tmp_path / "out" / "report.html").is_file()
