"""Paths that are no plain readable file, and files that change meanwhile."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from photos import encoded, photo, refused
from wordmask.cli.main import main
from wordmask.errors import PhotoError
from wordmask.photo import reading as module
from wordmask.photo.reading import decode
from wordmask.photo.suffixes import IMAGE_SUFFIXES


def test_missing_file_folder_and_broken_links_are_io_errors(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    dangling, looped = tmp_path / "dangling.jpg", tmp_path / "looped.jpg"
    dangling.symlink_to(tmp_path / "nowhere")
    looped.symlink_to(looped)
    for path in (tmp_path / "absent.jpg", dangling, looped, folder, folder / "x.jpg", tmp_path / ("x" * 300)):
        assert refused(path).code == "IO"
    assert "a folder" in str(refused(folder))
    with pytest.raises(PhotoError) as caught:
        decode("nul\0byte.jpg")
    assert caught.value.code == "IO"


def test_pipe_socket_and_device_are_refused_without_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, address = tmp_path / "pipe.jpg", tmp_path / "s.jpg"
    os.mkfifo(pipe)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("was opened"))
        for path, what in ((pipe, "named pipe"), (address, "socket"), (Path("/dev/zero"), "device")):
            error = refused(path)
            assert error.code == "IO"
            assert what in str(error)


def test_pipe_that_takes_the_files_place_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, plain = tmp_path / "pipe.jpg", tmp_path / "plain.jpg"
    os.mkfifo(pipe)
    plain.write_bytes(b"x")
    regular = plain.stat()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda *_, **__: regular)
        error = refused(pipe)
    assert error.code == "IO"


def test_file_without_permission_is_an_io_error(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(encoded(photo(), "PNG"))

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "_open_without_waiting", refuse)  # root may read everything: chmod would not do
    error = refused(path)
    assert error.code == "IO"
    assert "Permission denied" in str(error)


def test_file_that_grows_while_it_is_read_is_an_io_error(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(encoded(photo(), "PNG"))

    def grow(*_: object) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(module, "_check_header", grow)
    error = refused(path)
    assert error.code == "IO"
    assert "changed" in str(error)


def test_a_command_is_silent_about_damaged_metadata(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def warn(*_: object) -> int:
        warnings.warn_explicit("Tag data larger than file", UserWarning, "f", 1, module="PIL.TiffImagePlugin")
        warnings.warn_explicit("something else", UserWarning, "f", 1, module="elsewhere")
        return 0

    monkeypatch.setattr("wordmask.cli.main._run_command", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        main(["inspect", "tiny"])
    told = capsys.readouterr().err
    assert "something else" in told
    assert "Tag data" not in told


def test_suffixes_cover_what_is_read_and_what_is_reported() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
