"""Lists the photos of a run, and loads one if it has not changed since."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from wordmask.errors import PhotoError
from wordmask.outputs.names import output_names
from wordmask.photo.folders import RESULT_FOLDERS, LeftOut, PhotoFolders
from wordmask.photo.job import Job, Stamp, stamp
from wordmask.photo.options import DEFAULTS, ReadOptions
from wordmask.photo.reading import Photo, load_file
from wordmask.photo.url import Place, Url

Found = tuple[Place, Path, Stamp | None]


def find_photos(paths: Sequence[Place], *, recursive: bool = False, apart_from: Place | None = None) -> list[Job]:
    """Lists photos, each once: files as given, folders' photos in name order.

    Linked folders are followed. Left out, with a warning that counts them: hidden folders and those of the system,
    folders that cannot be listed, folders with results of this program, pipes, sockets and devices.

    Args:
        paths: photos and folders; URLs need what the extra `ray` installs.
        recursive: search folders in folders too.
        apart_from: the output, whose results are no photos.

    Raises:
        FileNotFoundError: a path does not exist, or there is no photo at all.
        ValueError: a folder that is named cannot be listed, or the output would replace a photo.
    """
    found: dict[str, Found] = {}
    left_out = LeftOut()
    folders = PhotoFolders(recursive, os.path.realpath(apart_from) if isinstance(apart_from, Path) else None, left_out)
    for path in paths:
        for photo in _photos(path, folders, apart_from):
            if found.setdefault(_identity(photo[0]), photo) is not photo:
                left_out.repeated.append(str(photo[0]))
    left_out.warn()
    if not found:
        raise FileNotFoundError(f"no photos in {', '.join(map(str, paths))}")
    if apart_from is not None:
        output = str(apart_from) if isinstance(apart_from, Url) else os.path.realpath(apart_from)
        refuse_replacing(found, (output, *(f"{output}/{kind}/" for kind in RESULT_FOLDERS)))
    names = output_names([short for _, short, _ in found.values()])
    photos = zip(found.values(), names, strict=True)
    return [Job(path, name, i, seen) for i, ((path, _, seen), name) in enumerate(photos, 1)]


def _photos(path: Place, folders: PhotoFolders, apart_from: Place | None) -> Iterable[Found]:
    """Of one place that was named: path, path relative to it, and stamp."""
    if isinstance(path, Url):
        from wordmask.run.remote_photos import list_photos  # noqa: PLC0415

        return list_photos(path, recursive=folders.recursive, apart_from=apart_from, left_out=folders.left_out)
    try:
        mode = path.lstat().st_mode if path.is_symlink() and not path.exists() else path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(f"{path} does not exist") from error
    except OSError:
        mode = stat.S_IFREG  # reading it gives the error
    if stat.S_ISDIR(mode):
        return [(file, file.relative_to(path), stamp(file)) for file in folders.photos(path)]
    return [(path, Path(path.name), stamp(path))]


def _identity(path: Place) -> str:
    """Equal for two names of one photo. A linked photo is one of its own: it may be there under another name."""
    return str(path) if isinstance(path, Url) else f"{os.path.realpath(path.parent)}{os.sep}{path.name}"


def refuse_replacing(photos: Iterable[str], places: Collection[str]) -> None:
    """Raises ValueError if a photo is one of the places, or inside one that ends with a slash; all are real paths."""
    files, folders = set(places), tuple(place for place in places if place.endswith("/"))
    for photo in photos:
        if photo in files or photo.startswith(folders):
            raise ValueError(f"{photo} is a photo, and this command would write there: give another --output")


def refuse_folders_of_photos(output: Place, photos: Iterable[Place]) -> None:
    """Raises ValueError if the output is a folder of photos that is named, or holds one."""
    real = _real(output).rstrip("/")
    for place in photos:
        if isinstance(place, Path) and not os.path.isdir(place):  # noqa: PTH112 - no error where it cannot be read
            continue
        if _real(place) == real:
            found = "is the folder of the photos, and its results would lie among them"
        elif _real(place).startswith(f"{real}/"):
            found = f"holds the folder of the photos, {place}, and its results would lie around that"
        else:
            continue
        raise ValueError(f"--output {output} {found}: name a folder of its own, such as {str(output).rstrip('/')}/out")


def _real(place: Place) -> str:
    return str(place) if isinstance(place, Url) else os.path.realpath(place)


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
