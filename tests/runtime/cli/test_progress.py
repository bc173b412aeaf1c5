"""What a run says where there is no terminal, and at its end."""

from __future__ import annotations

import json
import sys

import pytest

from folder_runs import rows
from stub_segmenter import write_photos
from wordmask.cli.main import main
from wordmask.cli.progress import INTERVAL, Progress, summary
from wordmask.outputs.rows import DoneRow, FailedRow
from wordmask.outputs.run_record import BundleRecord, RunRecord

BUNDLE = BundleRecord("id", "photos", "fp32", {}, True)


def lines_of(numbers, capsys, count=1000):
    """What is said of pairs of seconds and photos done."""
    times = iter([seconds for seconds, _ in numbers])
    with Progress(count, clock=lambda: next(times)) as progress:
        for _, done in numbers:
            progress.update(done)
    return capsys.readouterr().err.splitlines()


def test_a_log_has_a_line_at_the_first_photo_and_then_every_few_seconds(capsys):
    numbers = [(10 + tenth / 10, tenth) for tenth in range(1, 200)]  # ten a second
    said = lines_of(numbers, capsys)
    assert len(said) == 1 + int(19.8 // INTERVAL)
    assert said[0] == "1 of 1000 photos"
    assert said[1] == "51 of 1000 photos, 10 photos/s, 0:01:35 left"


def test_the_rate_of_a_continued_run_is_of_what_it_does_itself(capsys):
    assert lines_of([(0, 900), (1, 901), (10, 905)], capsys) == [
        "900 of 1000 photos",
        "905 of 1000 photos, 0.5 photos/s, 0:03:10 left",
    ]


def test_the_last_photo_has_no_line_of_its_own_as_the_summary_follows(capsys):
    assert lines_of([(0, 1), (100, 2)], capsys, count=2) == ["1 of 2 photos"]


def test_messages_are_escaped(capsys):
    with Progress(1) as progress:
        progress.log("a\x1b[31m")
    assert capsys.readouterr().err == "a\\x1b[31m\n"


def test_a_terminal_has_a_bar_and_no_lines(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    said = lines_of([(0, 1), (100, 2), (200, 3)], capsys, count=3)
    assert "3/3" in said[-1]
    assert "of 3 photos" not in "".join(said)


def record(objects, failures, *, seconds=120.0, done_before=0):
    done = DoneRow(photo="a", name="a", notes=[], height=1, width=1, instances=sum(objects.values()), prompts=1,
                   word_confidence={}, seconds={})  # fmt: skip
    failed = [
        FailedRow(photo=f"in/{code}{number}.jpg", name=f"{code}{number}", status=code, error="")
        for code, count in failures.items()
        for number in range(count)
    ]
    return RunRecord.of([done, *failed], {}, BUNDLE, finished=True, done_before=done_before, seconds=seconds,
                        objects=objects)  # fmt: skip


def test_the_end_says_time_rate_the_five_commonest_words_and_the_first_names_of_each_failure():
    objects = {"cat": 3, "dog": 9, "cup": 1, "car": 4, "hat": 2, "bee": 1, "sky": 1}
    assert summary(record(objects, {"TRUNCATED": 1, "FORMAT": 5}), 7, "out") == "\n".join(
        [
            "1 of 7 photos, 21 masks: out",
            "time: 0:02:00, 0.0583 photos/s",
            "objects: 9 dog, 4 car, 3 cat, 2 hat, 1 cup, 2 of other words",
            "failed: 5 FORMAT (in/FORMAT0.jpg, in/FORMAT1.jpg, in/FORMAT2.jpg, ...)",
            "failed: 1 TRUNCATED (in/TRUNCATED0.jpg)",
        ]
    )


def test_a_run_with_nothing_found_or_nothing_left_says_so():
    lines = summary(record({}, {}, seconds=0.4, done_before=1), 1, "out").splitlines()
    assert lines == ["1 of 1 photos, 0 masks: out", "time: 0:00:00, nothing was left to do"]


def test_one_mask_is_told_in_the_singular():
    assert summary(record({"cat": 1}, {}), 7, "out").startswith("1 of 7 photos, 1 mask: out\n")


@pytest.fixture
def finished(tmp_path, capsys):
    photos, out = write_photos(tmp_path / "in", 3), tmp_path / "out"
    (photos / "cut.png").write_bytes((photos / "000.png").read_bytes()[:60])
    words = ["--vocabulary", "red plain", "green plain", "blue plain", "--no-loftup", "--background", "none"]
    status = main(["run", str(photos), *words, "--output", str(out), "--bundle", "tiny", "--min-score", "0"])
    return status, out, capsys.readouterr()


def test_a_runs_summary_counts_the_objects_of_its_annotations(finished):
    status, out, said = finished
    assert status == 3
    annotations = json.loads((out / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in annotations["categories"]}
    counts = {}
    for one in annotations["annotations"]:
        counts[names[one["category_id"]]] = counts.get(names[one["category_id"]], 0) + 1
    assert counts
    totals = json.loads((out / "run.json").read_text())["totals"]
    assert totals["objects"] == counts
    assert sum(counts.values()) == totals["instances"]
    (code,) = totals["failed"]
    assert totals["failed"][code] == [str(out.parent / "in" / "cut.png")]
    lines = said.out.splitlines()
    assert lines[0] == f"3 of 4 photos, {totals['instances']} masks: {out}"
    assert lines[1].startswith("time: 0:00:")
    assert all(f"{count} {word}" in lines[2] for word, count in counts.items())
    assert lines[3] == f"failed: 1 {code} ({out.parent / 'in' / 'cut.png'})"
    assert "1 of 4 photos\n" in said.err
    assert "4/4" not in said.err
    assert len(rows(out)) == 4
