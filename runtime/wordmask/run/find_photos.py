"""Lists the photos of a run, and loads one if it has not changed since."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from wordmask.errors import PhotoError
from wordmask.outputs.names import output_names
from wordmask.photo.job import Job, Stamp, stamp
from wordmask.photo.options import DEFAULTS, ReadOptions
from wordmask.photo.reading import IMAGE_SUFFIXES, Photo, load_file
from wordmask.photo.url import Place, Url

logger = logging.getLogger(__name__)


def find_photos(paths: Sequence[Place], *, recursive: bool = False, apart_from: Place | None = None) -> list[Job]:
    """Lists photos: files as given, folders' image files in name order, without those inside `apart_from`.

    URLs need what the extra `ray` installs.

    Pipes, sockets and devices in a folder are skipped with a warning.

    Raises:
        FileNotFoundError: a path does not exist, or there is no photo at all.
        ValueError: a folder cannot be listed.
    """
    found: list[tuple[Place, Path, Stamp | None]] = []
    for path in paths:
        if isinstance(path, Url):
            from wordmask.run.remote_photos import list_photos  # noqa: PLC0415

            found += list_photos(path, recursive=recursive, apart_from=apart_from)
        elif path.is_dir():
            files = _images(path, recursive, apart_from)
            found += [(file, file.relative_to(path), stamp(file)) for file in files]
        elif path.exists() or path.is_symlink():
            found.append((path, Path(path.name), stamp(path)))
        else:
            raise FileNotFoundError(f"{path} does not exist")
    if not found:
        raise FileNotFoundError(f"no photos in {', '.join(map(str, paths))}")
    names = output_names([short for _, short, _ in found])
    return [Job(path, name, i, seen) for i, ((path, _, seen), name) in enumerate(zip(found, names, strict=True), 1)]


def _images(folder: Path, recursive: bool, apart_from: Place | None) -> Iterator[Path]:
    results = apart_from.absolute() if isinstance(apart_from, Path) else None
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
        return False  # reading it gives the error
    return any(is_kind(mode) for is_kind in (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK))


def load_unchanged(job: Job, options: ReadOptions = DEFAULTS) -> Photo:
    """Decodes the photo that was listed.

    Raises:
        PhotoError: see wordmask.photo.load; IO if it has changed.
    """
    if isinstance(job.path, Url):
        from wordmask.run.remote_photos import load_photo  # noqa: PLC0415

        return load_photo(job, options)
    before = stamp(job.path)
    photo = load_file(job.path, options)
    if not before == stamp(job.path) == job.stamp:
        raise PhotoError("IO", f"{str(job.path)!r}: it changed since the run began: run again when it is complete")
    return photo
