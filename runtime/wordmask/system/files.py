"""Files and folders that appear complete under their final names, or not at all.

File systems of other systems and of networks lack some of what this asks for. What only makes a file safe from a loss
of power is done where it can be, and said once where it cannot. Modes are those that the user's umask leaves, given
when a file is made: some file systems let nobody change them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from wordmask.errors import OutputError, ReadError

TEMPORARY = ".wordmask-part-"  # begins the name of a file or folder that is not complete
_NOT_WRITTEN = (errno.EIO, errno.ENOSPC, errno.EDQUOT)  # of a sync: the disk does not hold the data
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
logger = logging.getLogger(__name__)
_said: set[str] = set()  # each reason once


def write_files(contents: Mapping[Path, Iterable[bytes]], *, mode: int = 0o666) -> None:
    """Writes files; a partial one never has its final name, not even after a loss of power.

    All are written to disk as temporary files in the same folders before the first is renamed.

    Args:
        contents: a file's parts by its path.
        mode: permissions of the files, of which the umask takes some.

    Raises:
        OutputError: a file cannot be written; its earlier content stays.
    """
    written: dict[Path, Path] = {}
    path = Path()
    try:
        for path, parts in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            written[path], descriptor = new_file(path.parent, mode=mode)
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                _sync_file(descriptor, path)
        for path, part in written.items():
            part.replace(path)
        for folder in {path.parent for path in written}:
            _sync_folder(folder)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for temporary_path in written.values():
            temporary_path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Writes one file; see write_files."""
    write_files({path: [content]}, mode=mode)


@contextlib.contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """Gives a stream for a large file, which has its final name when the block ends without an error; see write_files.

    Raises:
        OutputError: the file cannot be written; its earlier content stays.
    """
    part = target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part, descriptor = new_file(target.parent)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            _sync_file(descriptor, target)
        part.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        if part != target:
            part.unlink(missing_ok=True)


def new_file(folder: Path, *, mode: int = 0o666) -> tuple[Path, int]:
    """Makes a temporary file; gives its path and descriptor, open for writing."""
    while True:
        path = folder / f"{TEMPORARY}{secrets.token_hex(8)}"
        with contextlib.suppress(FileExistsError):
            return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)


def copy_file(source: Path, target: Path) -> None:
    """Copies a file's content to a new file.

    Raises:
        ReadError: the source cannot be read.
        OSError: the copy cannot be written.
    """
    try:
        content = source.open("rb")
    except OSError as error:
        raise ReadError(f"cannot read {source}: {error.strerror}") from error
    with content, target.open("xb") as copy:
        while chunk := _read(content, source):
            copy.write(chunk)


def _read(content: BinaryIO, source: Path) -> bytes:
    try:
        return content.read(1 << 20)
    except OSError as error:
        raise ReadError(f"cannot read {source}: {error.strerror}") from error


def check_writable(path: Path) -> None:
    """Raises OutputError if a file cannot be written: better known before the work than after."""
    try:
        with path.open("ab"):
            pass
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _new_folder(parent: Path, prefix: str, mode: int) -> Path:
    while True:
        path = parent / f"{prefix}{secrets.token_hex(8)}"
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=mode)
            return path


@contextlib.contextmanager
def atomic_folder(
    target: Path, *, prefix: str = TEMPORARY, mode: int = 0o777, durable: bool = False, replace: bool = False
) -> Iterator[Path]:
    """Gives an empty folder beside `target`, which is renamed to it when the block ends without an error.

    Args:
        target: the final path. Its parent must exist.
        prefix: of the temporary folder's name.
        mode: permissions of the folder, of which the umask takes some.
        durable: write the folder and its files to disk before it is renamed.
        replace: remove what has the final name; else only an empty folder may have it.

    Raises:
        OSError: the folder cannot be made or renamed, or whatever the block raises; the temporary folder is removed.
    """
    work = _new_folder(target.parent, prefix, mode)
    try:
        yield work
        move_folder(work, target, prefix=prefix, durable=durable, replace=replace)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def move_folder(
    work: Path, target: Path, *, prefix: str = TEMPORARY, durable: bool = False, replace: bool = False
) -> None:
    """Gives a complete folder its final name; see atomic_folder.

    Raises:
        OSError: the folder cannot be written to disk or renamed.
    """
    if durable:
        for path in (*work.rglob("*"), work):
            _sync(path)
    if replace:
        remove_folder(target, prefix=prefix)
    work.replace(target)
    if durable:
        _sync_folder(target.parent)


def remove_folder(folder: Path, *, prefix: str = TEMPORARY) -> None:
    """Removes a folder, or a symlink in its place, in one step: a reader finds all of it or nothing."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        removed = _new_folder(folder.parent, prefix, 0o700)
        folder.rename(removed / folder.name)
        shutil.rmtree(removed, ignore_errors=True)


def _sync(path: Path) -> None:
    """Writes a file's content, or a folder's entries, to disk."""
    if path.is_dir():
        _sync_folder(path)
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _sync_file(descriptor, path)
    finally:
        os.close(descriptor)


def _sync_file(descriptor: int, path: Path) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
        _warn_once(path.parent, str(error.strerror))


def _sync_folder(folder: Path) -> None:
    """Writes a folder's entries to disk; many file systems cannot, or let nobody open it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _NOT_WRITTEN:
            raise
        _warn_once(folder, str(error.strerror))


def _warn_once(folder: Path, reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        lost = "after a loss of power, new files may be missing"
        logger.warning("%s: this file system does not write to disk when asked (%s): %s", folder, reason, lost)
