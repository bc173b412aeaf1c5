"""What cannot be read is said to be so, with exit status 2 or 3, and never "cannot write" with 4."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

from odd_file_systems import OddFolder
from wordmask.cli.main import main


@pytest.fixture
def photo(tmp_path, examples):
    (tmp_path / "in").mkdir()
    return shutil.copy(examples.parent / "scenes" / "01.png", tmp_path / "in" / "a.png")


@pytest.fixture
def bundle(tmp_path, examples):
    return shutil.copytree(examples.parents[1] / "models_cache" / "tiny", tmp_path / "bundle")


@pytest.fixture
def command(tmp_path, capsys):
    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        return status, capsys.readouterr().err

    return run


WORDS = ("--vocabulary", "blue plain", "--threads", "1")


@pytest.mark.parametrize("refuse", ["refuse_reading", "refuse_all"])
def test_a_photo_that_is_named_is_a_row_of_the_journal(command, photo, tmp_path, monkeypatch, refuse):
    getattr(OddFolder(monkeypatch, photo), refuse)()
    status, said = command("run", photo, *WORDS, "--bundle", "tiny", "--output", tmp_path / "out")
    (row,) = map(json.loads, (tmp_path / "out" / "journal.jsonl").read_text().splitlines())
    assert (status, row["status"]) == (3, "IO")
    assert "cannot be read (Permission denied)" in row["error"]
    assert "cannot write" not in said
    for kind in ("features", "run"):
        words = WORDS if kind == "run" else ()
        status, said = command(kind, photo, *words, "--bundle", "tiny", "--output", tmp_path / "f.png")
        assert status == 3
        assert "cannot be read (Permission denied)" in said


def test_a_folder_that_is_named_is_exit_status_2(command, photo, tmp_path, monkeypatch):
    OddFolder(monkeypatch, photo.parent).refuse_reading()
    status, said = command("run", photo.parent, *WORDS, "--bundle", "tiny", "--output", tmp_path / "out")
    assert status == 2
    assert "in cannot be listed (Permission denied): check its permissions" in said


@pytest.mark.parametrize("refuse", ["refuse_reading", "refuse_all"])
@pytest.mark.parametrize("file", ["", "manifest.json", "clip_image.onnx"])
def test_a_bundle_is_exit_status_2(command, photo, bundle, tmp_path, monkeypatch, file, refuse):
    getattr(OddFolder(monkeypatch, bundle / file), refuse)()
    for words in (["run", photo, *WORDS], ["features", photo], ["inspect", bundle], ["triton", bundle, tmp_path / "t"]):
        rest = [] if words[0] in ("inspect", "triton") else ["--bundle", bundle, "--output", tmp_path / "out"]
        if words[0] == "inspect" and file.endswith(".onnx"):  # it looks at the manifest alone
            continue
        status, said = command(*words, *rest)
        assert status == 2
        assert "cannot be read (Permission denied)" in said
        assert "cannot write" not in said


def test_a_closed_folder_of_bundles_does_not_hide_the_others(command, photo, tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    monkeypatch.setenv("WORDMASK_MODELS", str(tmp_path / "closed"))
    OddFolder(monkeypatch, tmp_path / "closed").refuse_all()
    assert command("run", photo, *WORDS, "--bundle", "tiny", "--output", tmp_path / "out")[0] == 0
    status, said = command("run", photo, *WORDS, "--bundle", "other", "--output", tmp_path / "out")
    assert status == 2
    assert f"{tmp_path / 'closed' / 'other'}: cannot be read (Permission denied)" in said


def test_words_are_exit_status_2(command, photo, tmp_path, monkeypatch):
    (tmp_path / "words.txt").write_text("cat\n")
    OddFolder(monkeypatch, tmp_path / "words.txt").refuse_reading()
    for words in (
        ["--vocabulary", f"@{tmp_path / 'words.txt'}"],
        [*WORDS, "--background", f"@{tmp_path / 'words.txt'}"],
    ):
        status, said = command("run", photo, *words, "--bundle", "tiny", "--output", tmp_path / "out")
        assert status == 2
        assert "cannot be read as a list of words" in said


def test_a_checkpoint_is_exit_status_2(command, photo, tmp_path, monkeypatch):
    (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"x")
    OddFolder(monkeypatch, tmp_path / "sam2_hiera_tiny.pt").refuse_reading()
    checkpoint = ["--checkpoint", tmp_path / "sam2_hiera_tiny.pt"]
    status, said = command("run", photo, *WORDS, *checkpoint, "--output", tmp_path / "out")
    assert status == 2
    assert f"cannot read {tmp_path / 'sam2_hiera_tiny.pt'}: Permission denied" in said


def test_a_photo_to_compare_is_exit_status_2(command, photo, tmp_path, monkeypatch):
    OddFolder(monkeypatch, photo).refuse_reading()
    status, said = command("compare", "--image", photo, *WORDS, "--bundle", "tiny", "--output", tmp_path / "f.png")
    assert status == 2
    assert "cannot be read (Permission denied)" in said


def test_a_file_of_a_bundle_that_cannot_be_copied_is_exit_status_2(command, bundle, tmp_path, monkeypatch):
    from wordmask.system import files

    def lost(content, source):
        raise files.ReadError(f"cannot read {source}: {os.strerror(errno.EIO)}")

    monkeypatch.setattr(files, "_read", lost)
    status, said = command("triton", bundle, tmp_path / "models")
    assert status == 2
    assert "cannot read" in said
    assert not (tmp_path / "models").exists()


def test_an_output_that_cannot_be_written_still_is_exit_status_4(command, photo, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    OddFolder(monkeypatch, tmp_path / "out").refuse_reading()  # refuses os.open too, with which files are made
    for words in (["run", photo, *WORDS], ["features", photo]):
        status, said = command(*words, "--bundle", "tiny", "--output", tmp_path / "out")
        assert status == 4
        assert "cannot write" in said
    figures = tmp_path / "out" / "figures.json"
    status, said = command("eval", "--dataset", "scenes", "--limit", "1", "--bundle", "tiny", "--json", figures)
    assert status == 4
    assert f"cannot write {figures}: Permission denied" in said
