"""What is written and said, where no model is needed."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wordmask.errors import OutputError
from wordmask.formats import pictures
from wordmask.formats.explanation import nothing_found
from wordmask.formats.json import json_bytes
from wordmask.system.files import write_bytes, write_files
from wordmask.types import Options, Segmentation


def result(dense, confidence, best=(0.9, 0.2), prompts=0):
    dense = np.array([dense], np.uint16)
    confidence = np.array([confidence], np.float32)
    return Segmentation(("cat", "cup"), np.zeros_like(dense), dense, confidence, (), best, prompts, {})


@pytest.mark.parametrize(
    ("dense", "confidence", "best", "prompts", "hint"),
    [
        ([0, 0], [0.9, 0.9], (0.05, 0.2), 0, "--min-confidence is 0.7"),
        ([0, 0], [0.95, 0.95], (0.8, 0.2), 0, "words of the --background are more probable there"),
        ([1, 0], [0.9, 0.9], (0.9, 0.2), 0, "no region above --min-confidence 0.7 has --min-region-size 100 pixels"),
        ([1, 0], [0.9, 0.9], (0.9, 0.2), 2, "no mask agrees with its word as much as --min-score 0.26 asks"),
    ],
    ids=["unsure", "background", "small", "disagreeing"],
)
def test_nothing_found_names_the_option_in_the_way(dense, confidence, best, prompts, hint):
    text = nothing_found(result(dense, confidence, best, prompts), Options(min_region_size=100))
    assert hint in text
    assert f"{max(best):.2f}" in text


@pytest.mark.parametrize(("words", "mode"), [(3, "P"), (255, "P"), (256, "I;16"), (70, "P")])
def test_label_pictures_hold_every_index(words, mode):
    labels = np.array([[0, 1, min(words, 300)]], np.uint16)
    picture = Image.open(io.BytesIO(pictures.label_png(labels, words)))
    assert picture.mode == mode
    np.testing.assert_array_equal(np.asarray(picture), labels)


def test_confidence_pictures_reach_from_0_to_65535():
    picture = Image.open(io.BytesIO(pictures.confidence_png(np.array([[0.0, 0.5, 1.0]], np.float32))))
    np.testing.assert_array_equal(np.asarray(picture), [[0, 32768, 65535]])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_bytes(path, b"old")

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OutputError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_of_a_group_of_files_none_is_new_if_one_cannot_be_written(tmp_path):
    first, second = tmp_path / "a", tmp_path / "file" / "b"
    write_bytes(first, b"old")
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(OutputError, match=f"cannot write {second}"):
        write_files({first: [b"new"], second: [b"new"]})
    assert first.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "file"]


def test_files_are_on_the_disk_before_the_first_takes_its_name(tmp_path, monkeypatch):
    done = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr("wordmask.system.files.os.fsync", lambda file: (done.append("sync"), fsync(file))[1])
    monkeypatch.setattr("pathlib.Path.replace", lambda path, to: (done.append(to.name), replace(path, to))[1])
    write_files({tmp_path / "a": [b"1", b"2"], tmp_path / "b": [b"3"]})
    assert done == ["sync", "sync", "a", "b", "sync"]  # the last is the folder's
    assert (tmp_path / "a").read_bytes() == b"12"


def test_text_that_is_no_unicode_stays_readable_json():
    assert json.loads(json_bytes({"a": "caf\udce9"})) == {"a": "caf\udce9"}
    assert "é" in json_bytes({"a": "é"}).decode()
