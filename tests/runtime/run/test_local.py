"""A run over a folder: what one photo's failure means, and that nothing but the photos decides the results."""

from __future__ import annotations

import errno
import json
import os
import threading
import time

import numpy as np
import pytest
from PIL import Image

from folder_runs import results, rows, run, statuses
from photos import encoded, photo
from stub_segmenter import StubSegmenter, Trouble, write_photos
from wordmask.errors import DeviceError, OutputError
from wordmask.photo.options import ReadOptions
from wordmask.run.execution import StoppedError
from wordmask.run.find_photos import find_photos
from wordmask.run.request import OutputOptions
from wordmask.system.files import TEMPORARY

EVERYTHING = OutputOptions(overlay=True, save_dense=True)


@pytest.mark.parametrize(
    ("trouble", "status"),
    [
        (Trouble.NAN, "NUMERIC"),
        (Trouble.OUT_OF_MEMORY, "OOM"),
        (Trouble.ORT_OUT_OF_MEMORY, "OOM"),
        (Trouble.BUG, "INTERNAL"),
    ],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_a_photo_that_fails_is_one_row_and_the_run_goes_on(tmp_path, trouble, status):
    photos, out = write_photos(tmp_path / "in", 5, {1: trouble}), tmp_path / "out"
    told = []
    record = run(photos, out, outputs=EVERYTHING, log=told.append)
    assert record.totals.statuses == {"ok": 4, status: 1}
    assert statuses(out) == {"000": "ok", "001": status, "002": "ok", "003": "ok", "004": "ok"}
    assert any(line.startswith(f"{status}: ") for line in told)
    assert not list(out.rglob("001.*"))
    assert [image["id"] for image in json.loads((out / "annotations.json").read_text())["images"]] == [1, 3, 4, 5]


def test_an_unexpected_exception_in_a_thread_is_reported_with_its_traceback(tmp_path, caplog):
    run(write_photos(tmp_path / "in", 3, {1: Trouble.BUG}), tmp_path / "out")
    (record,) = caplog.records
    assert record.exc_info[0] is ZeroDivisionError
    assert "ZeroDivisionError: a bug" in rows(tmp_path / "out")[1]["error"]


def test_a_garbled_jpeg_is_taken_where_that_is_asked_for(tmp_path):
    (folder := tmp_path / "in").mkdir()
    data = bytearray(encoded(photo(), "JPEG"))
    data[-400:-300] = bytes(100)
    (folder / "a.jpg").write_bytes(data)
    assert run(folder, tmp_path / "strict").totals.statuses == {"CORRUPT": 1}
    assert "--lenient" in rows(tmp_path / "strict")[0]["error"]
    told = []
    record = run(folder, tmp_path / "lenient", reading=ReadOptions(lenient=True), log=told.append)
    assert record.totals.statuses == {"ok": 1}
    assert "damaged JPEG accepted" in told[0]


def test_what_every_photo_would_meet_ends_the_run_without_a_deadlock(tmp_path):
    photos, out = write_photos(tmp_path / "in", 9, {4: Trouble.DEVICE_GONE}), tmp_path / "out"
    with pytest.raises(DeviceError, match="LaunchFailure"):
        run(photos, out)
    assert {name for name, status in statuses(out).items() if status == "ok"} == {"000", "001", "002", "003"}
    assert json.loads((out / "run.json").read_text())["finished"] is False


def test_a_photo_short_of_memory_is_tried_again_alone(tmp_path):
    troubles = dict.fromkeys((1, 2, 5), Trouble.OUT_OF_MEMORY_BESIDE_ANOTHER)
    photos = write_photos(tmp_path / "in", 8, troubles)
    record = run(photos, tmp_path / "out", segmenter=StubSegmenter(delay=0.02), in_flight=3)
    assert record.totals.statuses == {"ok": 8}
    run(photos, tmp_path / "one by one", in_flight=1)
    ours, theirs = results(tmp_path / "out"), results(tmp_path / "one by one")
    assert ours.pop("run.json")["settings"].pop("in_flight", None) is None
    theirs.pop("run.json")
    assert ours == theirs


def test_results_do_not_depend_on_how_many_photos_are_in_flight(tmp_path):
    photos = write_photos(tmp_path / "in", 9, {3: Trouble.NAN})
    for count in (1, 2, 5):
        run(photos, tmp_path / str(count), segmenter=StubSegmenter(delay=0.005), outputs=EVERYTHING, in_flight=count)
    assert results(tmp_path / "1") == results(tmp_path / "2") == results(tmp_path / "5")


def test_photos_are_worked_on_at_once_but_no_more_than_asked(tmp_path):
    segmenter = StubSegmenter(delay=0.02)
    run(write_photos(tmp_path / "in", 8), tmp_path / "out", segmenter=segmenter, in_flight=3)
    assert segmenter.most_at_once == 3


def test_a_slow_writer_holds_the_photos_back(tmp_path, monkeypatch):
    """Computed and not yet written: never more than are in flight."""
    segmenter, ahead = StubSegmenter(), []
    write = os.fsync

    def slow(descriptor):
        time.sleep(0.004)
        ahead.append(len(segmenter.calls) - len(list((tmp_path / "out" / "semantic").glob("[0-9]*.png"))))
        write(descriptor)

    monkeypatch.setattr("wordmask.system.files.os.fsync", slow)
    run(write_photos(tmp_path / "in", 12), tmp_path / "out", segmenter=segmenter, in_flight=2)
    assert len(segmenter.calls) == 12
    assert max(ahead) <= 2


def test_a_photo_that_changes_or_vanishes_during_the_run_is_an_io_row(tmp_path):
    photos, out = write_photos(tmp_path / "in", 4), tmp_path / "out"
    jobs = find_photos([photos])
    (photos / "001.png").unlink()
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(photos / "002.png")
    run(photos, out, jobs=jobs)
    found = {row["name"]: row for row in rows(out)}
    assert {name: row["status"] for name, row in found.items()} == {"000": "ok", "001": "IO", "002": "IO", "003": "ok"}
    assert "changed since the run began" in found["002"]["error"]


def test_pipes_sockets_and_devices_in_a_folder_are_skipped_with_a_warning(tmp_path, caplog):
    photos = write_photos(tmp_path / "in", 1)
    os.mkfifo(photos / "pipe.jpg")
    (photos / "device.jpg").symlink_to("/dev/zero")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "folder.jpg").mkdir()
    run(photos, tmp_path / "out")
    assert statuses(tmp_path / "out") == {"000": "ok", "folder": "IO", "loop": "IO"}
    assert [name in caplog.text for name in ("pipe.jpg", "device.jpg")] == [True, True]


def test_nothing_found_is_an_explicit_empty_result(tmp_path):
    photos, out = tmp_path / "in", tmp_path / "out"
    photos.mkdir()
    Image.new("RGB", (30, 20), (9, 9, 9)).save(photos / "dark.png")
    Image.new("RGB", (30, 20), (1, 1, 1)).save(photos / "black.png")
    run(photos, out)
    assert json.loads((out / "annotations" / "black.json").read_text())["annotations"] == []
    assert not np.asarray(Image.open(out / "semantic" / "black.png")).any()
    document = json.loads((out / "annotations.json").read_text())
    assert document["annotations"] == []
    assert [image["file_name"] for image in document["images"]] == [str(photos / "black.png"), str(photos / "dark.png")]


@pytest.mark.parametrize("words", [("../../x", "/abs"), ("CON", "NUL"), ("-rf", "<script>alert(1)</script>\n")])
def test_words_cannot_lead_out_of_the_output_folder(tmp_path, words):
    photos, out = write_photos(tmp_path / "in", 1), tmp_path / "deep" / "out"
    run(photos, out, words=words, outputs=EVERYTHING)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "in"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["out"]
    assert {path.stem for path in out.rglob("*") if path.parent != out} == {"000"}
    categories = json.loads((out / "annotations.json").read_text())["categories"]
    assert [category["name"] for category in categories] == [word.strip() for word in words]


@pytest.mark.parametrize("call", [1, 8, 20])
def test_a_full_disk_ends_the_run_and_a_later_one_continues_it(tmp_path, monkeypatch, call):
    photos, out = write_photos(tmp_path / "in", 6), tmp_path / "out"
    with monkeypatch.context() as full:
        full.setattr("wordmask.system.files.os.fsync", FullDisk(call))
        with pytest.raises(OutputError, match="No space left"):
            run(photos, out, outputs=EVERYTHING)
    run(photos, out, outputs=EVERYTHING)
    run(photos, tmp_path / "whole", outputs=EVERYTHING)
    assert results(out) == results(tmp_path / "whole")
    assert not list(out.rglob(f"{TEMPORARY}*"))


class FullDisk:
    """fsync on a disk that is full from the n-th call on."""

    def __init__(self, call):
        self.left, self.fsync, self.lock = call, os.fsync, threading.Lock()

    def __call__(self, descriptor):
        with self.lock:
            self.left -= 1
        if self.left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.fsync(descriptor)


def test_a_stop_is_noticed_at_once_and_leaves_what_is_finished(tmp_path):
    photos, out, stop = write_photos(tmp_path / "in", 20), tmp_path / "out", threading.Event()
    slow = StubSegmenter(delay=0.05)
    began = time.monotonic()
    with pytest.raises(StoppedError):
        run(photos, out, segmenter=slow, stop=stop, progress=lambda done: stop.set() if done == 3 else None)
    assert time.monotonic() - began < 2
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 3
    run(photos, out)
    run(photos, tmp_path / "whole")
    assert results(out) == results(tmp_path / "whole")


def test_annotations_that_take_too_long_after_a_stop_are_left_to_the_next_run(tmp_path, monkeypatch):
    photos, out, stop = write_photos(tmp_path / "in", 6), tmp_path / "out", threading.Event()
    monkeypatch.setattr("wordmask.run.execution.ANNOTATIONS_TIMEOUT", -1.0)
    told = []
    with pytest.raises(StoppedError):
        run(photos, out, stop=stop, log=told.append, progress=lambda done: stop.set())
    assert not (out / "annotations.json").exists()
    assert "annotations.json is not complete: the next run writes it" in told
    run(photos, out)
    assert len(json.loads((out / "annotations.json").read_text())["images"]) == 6


def test_less_than_one_photo_in_flight_is_refused(tmp_path):
    with pytest.raises(ValueError, match="in_flight is 0"):
        run(write_photos(tmp_path / "in", 1), tmp_path / "out", in_flight=0)
    assert not (tmp_path / "out").exists()
