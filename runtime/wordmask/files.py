"""Files and folders that appear complete under their final names, or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from wordmask.errors import OutputError

TEMPORARY = ".wordmask-part-"  # begins the name of a file or folder that is not complete


def write_files(contents: Mapping[Path, Iterable[bytes]], *, mode: int = 0o644) -> None:
    """Writes files; a partial one never has its final name, not even after a loss of power.

    All are written to disk as temporary files in the same folders before the first is renamed.

    Args:
        contents: a file's parts by its path.
        mode: permissions of the files.

    Raises:
        OutputError: a file cannot be written; its earlier content stays.
    """
    written: dict[Path, Path] = {}
    path = Path()
    try:
        for path, parts in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
            written[path] = Path(temporary)
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(descriptor)
        for path, part in written.items():
            part.chmod(mode)
            part.replace(path)
        for folder in {path.parent for path in written}:
            _sync(folder)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for temporary_path in written.values():
            temporary_path.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Writes one file; see write_files."""
    write_files({path: [content]}, mode=mode)


@contextlib.contextmanager
def atomic_folder(
    target: Path, *, prefix: str = TEMPORARY, mode: int = 0o755, durable: bool = False, replace: bool = False
) -> Iterator[Path]:
    """Gives an empty folder beside `target`, which is renamed to it when the block ends without an error.

    Args:
        target: the final path. Its parent must exist.
        prefix: of the temporary folder's name.
        mode: permissions of the folder.
        durable: write the folder and its files to disk before it is renamed.
        replace: remove what has the final name; else only an empty folder may have it.

    Raises:
        OSError: the folder cannot be made or renamed, or whatever the block raises; the temporary folder is removed.
    """
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield work
        if durable:
            for path in (*work.rglob("*"), work):
                _sync(path)
        work.chmod(mode)
        if replace:
            remove_folder(target, prefix=prefix)
        work.replace(target)
        if durable:
            _sync(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def remove_folder(folder: Path, *, prefix: str = TEMPORARY) -> None:
    """Removes a folder, or a symlink in its place, in one step: a reader finds all of it or nothing."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        removed = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        folder.rename(removed / folder.name)
        shutil.rmtree(removed, ignore_errors=True)


def _sync(path: Path) -> None:
    """Writes a file's content, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
