"""Which photos a run is about, and how to know later that they are still the same."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from wordmask.errors import PhotoError
from wordmask.image import IMAGE_SUFFIXES, Photo, load
from wordmask.names import output_names

Stamp = tuple[int, int]  # bytes, and nanoseconds at the last change: what rsync and make go by
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A photo of a run.

    Attributes:
        path: the file.
        name: of its outputs: a relative path without suffix, of its own.
        number: place among the run's photos, from 1; its id in the annotations.
        stamp: of the file when it was listed; None if it cannot be looked at.
    """

    path: Path
    name: str
    number: int
    stamp: Stamp | None


def find_photos(paths: Sequence[Path], *, recursive: bool = False, apart_from: Path | None = None) -> list[Job]:
    """Lists photos: files as given, folders' image files in name order, without those inside `apart_from`.

    Pipes, sockets and devices in a folder are skipped with a warning.

    Raises:
        FileNotFoundError: a path does not exist, or there is no photo at all.
        ValueError: a folder cannot be listed.
    """
    found: list[tuple[Path, Path]] = []
    for path in paths:
        if path.is_dir():
            found += [(file, file.relative_to(path)) for file in _images(path, recursive, apart_from)]
        elif path.exists() or path.is_symlink():
            found.append((path, Path(path.name)))
        else:
            raise FileNotFoundError(f"{path} does not exist")
    if not found:
        raise FileNotFoundError(f"no photos in {', '.join(map(str, paths))}")
    names = output_names([short for _, short in found])
    files = (path for path, _ in found)
    return [Job(path, name, i, stamp(path)) for i, (path, name) in enumerate(zip(files, names, strict=True), start=1)]


def _images(folder: Path, recursive: bool, apart_from: Path | None) -> Iterator[Path]:
    results = apart_from.absolute() if apart_from else None
    try:
        files = sorted(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise ValueError(f"{folder} cannot be listed ({error.strerror}): check its permissions") from error
    for file in files:
        if file.suffix.lower() not in IMAGE_SUFFIXES or file.name.startswith(".") or results in file.absolute().parents:
            continue
        if _would_block(file):
            logger.warning("%r is a pipe, a socket or a device: skipped", str(file))
        else:
            yield file


def _would_block(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False  # reading it will say why
    return any(is_kind(mode) for is_kind in (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK))


def stamp(path: Path) -> Stamp | None:
    """Identifies a file's content; None if it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def load_unchanged(job: Job, *, lenient: bool = False) -> Photo:
    """Decodes the photo that was listed.

    Raises:
        PhotoError: see wordmask.image.load; IO if it is another one by now.
    """
    before = stamp(job.path)
    photo = load(job.path, lenient=lenient)
    if not before == stamp(job.path) == job.stamp:
        raise PhotoError("IO", f"{str(job.path)!r}: it changed since the run began: run again when it is complete")
    return photo
