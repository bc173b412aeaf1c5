"""Runs and conversions onto drives that lack what Linux's own file systems have; the umask."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from folder_runs import results, run, statuses
from odd_file_systems import OddFolder
from stub_segmenter import write_photos
from wordmask.cli.main import main
from wordmask.convert.conversion import convert
from wordmask.errors import OutputError, ResumeError
from wordmask.outputs.lock import run_lock
from wordmask.system.files import atomic_folder, write_bytes

ODD_NAMES = {
    "a:b": "a_b",
    "what?": "what_",
    "st*r": "st_r",
    '"quoted"': "_quoted_",
    "<tag>": "_tag_",
    "pi|pe": "pi_pe",
    "back\\slash": "back_slash",
    "trailing.": "trailing_",
    "blank ": "blank_",
    "dir. /x": "dir__/x",
    "con": "_con",
    "LPT1/x": "_LPT1/x",
}
NO_LOCKS = [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP]


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder that is odd."""
    (tmp_path / "odd").mkdir()
    return tmp_path / "odd"


@pytest.fixture
def odd(root, monkeypatch) -> OddFolder:
    for module in ("system.files", "convert.photo_files"):
        monkeypatch.setattr(f"wordmask.{module}._said", set())
    return OddFolder(monkeypatch, root)


@pytest.fixture
def photos(tmp_path) -> Path:
    """A photo of each odd name."""
    (photo,) = write_photos(tmp_path / "one", 1).iterdir()
    for name in ODD_NAMES:
        path = tmp_path / "in" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, path)
    return tmp_path / "in"


def run_all(photos: Path, out: Path, **settings) -> None:
    from wordmask.run.find_photos import find_photos

    run(photos, out, jobs=find_photos([photos], recursive=True), **settings)


def test_a_run_onto_such_a_drive_is_the_run_of_any_other(photos, tmp_path, root, odd, caplog):
    run_all(photos, tmp_path / "plain")
    assert sorted(statuses(tmp_path / "plain")) == sorted(ODD_NAMES.values())  # changed everywhere
    odd.refuse_all_that_cifs_does()
    odd.refuse_locks(errno.ENOLCK)
    run_all(photos, root / "out")
    assert results(root / "out") == results(tmp_path / "plain")
    run_all(photos, root / "out")  # it is continued, and there is nothing left to do
    assert results(root / "out") == results(tmp_path / "plain")
    assert caplog.text.count("does not write to disk when asked (Invalid argument)") == 1


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.EACCES], ids=errno.errorcode.get)
def test_a_folder_that_cannot_be_synced_costs_a_warning(root, odd, code, caplog):
    odd.refuse(os, "fsync", code, only_folders=True)
    write_bytes(root / "a", b"content")
    write_bytes(root / "sub" / "b", b"content")
    with atomic_folder(root / "c", durable=True) as work:
        (work / "file").write_bytes(b"content")
    assert [path.read_bytes() for path in (root / "a", root / "sub" / "b", root / "c" / "file")] == [b"content"] * 3
    assert caplog.text.count("after a loss of power, new files may be missing") == 1


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_sync_that_fails_because_data_are_lost_is_an_error(root, odd, code):
    odd.refuse(os, "fsync", code, only_folders=True)
    with pytest.raises(OutputError, match=f"cannot write .*: {os.strerror(code)}"):
        write_bytes(root / "a", b"content")


@pytest.mark.parametrize("code", NO_LOCKS, ids=errno.errorcode.get)
def test_without_locks_a_lock_file_keeps_a_second_run_out(photos, root, odd, code, monkeypatch, caplog):
    monkeypatch.setattr("wordmask.outputs.lock.LOCK_TIMEOUT", 0.1)
    odd.refuse_locks(code)
    out = root / "out"
    with run_lock(out):
        message = (
            rf"another run \(process {os.getpid()} on .*\) writes to .*; if it is gone, remove {out / '.lock.held'}"
        )
        with pytest.raises(ResumeError, match=message):
            run_all(photos, out)
    assert f"no locks there ({os.strerror(code)}): {out / '.lock.held'} takes their place" in caplog.text
    run_all(photos, out)
    assert not (out / ".lock.held").exists()


def test_a_lock_file_that_a_killed_run_left_is_taken_over(root, odd):
    odd.refuse_locks(errno.ENOLCK)
    held = root / ".lock.held"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    reused = f"process {os.getpid()} on {socket.gethostname()}, started 1\n"
    for left in (f"process {gone.pid} on {socket.gethostname()}, started 5\n", reused):
        held.write_text(left)
        with run_lock(root):
            assert held.read_text().startswith(f"process {os.getpid()} on")
        assert not held.exists()


@pytest.mark.parametrize("content", ["process 1 on another.machine, started 5\n", "", "process"])
def test_a_lock_file_of_which_nothing_is_known_is_respected(root, odd, monkeypatch, content):
    monkeypatch.setattr("wordmask.outputs.lock.LOCK_TIMEOUT", 0.1)
    odd.refuse_locks(errno.ENOSYS)
    (root / ".lock.held").write_text(content)
    with pytest.raises(ResumeError, match=r"if it is gone, remove .*\.lock\.held"), run_lock(root):
        pass
    assert (root / ".lock.held").read_text() == content


def test_a_lock_that_fails_otherwise_is_an_error(root, odd):
    odd.refuse_locks(errno.EIO)
    with pytest.raises(OutputError, match=r"cannot lock .*Input/output error"), run_lock(root):
        pass


def test_where_no_links_can_be_made_photos_are_copied(photos, tmp_path, root, odd, caplog):
    run_all(photos, tmp_path / "out")
    odd.refuse_all_that_cifs_does()
    convert(tmp_path / "out", "yolo-seg", root / "yolo", placing="link")
    placed = [path for path in (root / "yolo" / "images").rglob("*") if path.is_file()]
    assert len(placed) == len(ODD_NAMES)
    assert not any(path.is_symlink() for path in placed)
    assert caplog.text.count("no links can be made there (Operation not permitted): photos are copied") == 1


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o077, 0o600, 0o700), (0o002, 0o664, 0o775), (0o022, 0o644, 0o755)]
)
def test_files_and_folders_have_the_modes_that_the_umask_leaves(photos, tmp_path, examples, umask, file, folder):
    before = os.umask(umask)
    try:
        run_all(photos, tmp_path / "out")
        convert(tmp_path / "out", "yolo-seg", tmp_path / "yolo", placing="copy")
        scene, picture = str(examples.parent / "scenes" / "01.png"), str(tmp_path / "picture" / "f.png")
        assert main(["features", scene, "--output", picture, "--bundle", "tiny", "--threads", "1", "--size", "16"]) == 0
    finally:
        os.umask(before)
    made = [path for top in ("out", "yolo", "picture") for path in (tmp_path / top, *(tmp_path / top).rglob("*"))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {file}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {folder}


def test_a_mode_that_is_asked_for_is_never_widened(tmp_path):
    before = os.umask(0)
    try:
        write_bytes(tmp_path / "private", b"x", mode=0o600)
        with atomic_folder(tmp_path / "mine", mode=0o700):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o700
