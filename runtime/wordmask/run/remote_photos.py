"""Photos in an object store: listed and read through fsspec."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from wordmask.errors import PhotoError
from wordmask.photo.folders import RESULT_FOLDERS, LeftOut, result_folders
from wordmask.photo.job import Job, Stamp
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import Photo, load_bytes, most_bytes
from wordmask.photo.suffixes import is_hidden, is_photo_name
from wordmask.photo.url import Place, Url, error_code, files_in, open_url, reason_of

TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")  # what file systems call the last change


def list_photos(
    url: Url, *, recursive: bool, apart_from: Place | None, left_out: LeftOut
) -> list[tuple[Place, Path, Stamp | None]]:
    """A file as given, or a folder's photos in the order of a local folder; what is not taken goes to `left_out`.

    Returns:
        Each photo's URL, its path relative to the folder, and its stamp.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it cannot be listed.
    """
    files, root = open_url(url)
    found = _listed(url, recursive=recursive)
    if list(found) == [root]:
        return [(url, Path(PurePosixPath(root).name), _stamp(found[root]))]
    results = result_folders(found)
    if isinstance(apart_from, Url) and open_url(apart_from)[0] is files:
        results.add(open_url(apart_from)[1])
    short = {path: PurePosixPath(path).relative_to(root) for path in found}
    return [
        (Url(files.unstrip_protocol(path)), Path(short[path]), _stamp(found[path]))
        for path in sorted(found, key=short.__getitem__)
        if _is_taken(root, short[path], results, left_out)
    ]


def _is_taken(root: str, short: PurePosixPath, results: set[str], left_out: LeftOut) -> bool:
    """Whether a file is a photo of the user's; notes it, or its folder once, if it is left out."""
    above = [*short.parents][-2::-1]  # from the top
    for folder in above:
        if is_hidden(folder.name):
            return _note(left_out.hidden, f"{root}/{folder}")
        if f"{root}/{folder}" in results:
            return _note(left_out.runs, f"{root}/{folder}")
    if root in results and above and short.parts[0] in RESULT_FOLDERS:
        return _note(left_out.runs, f"{root}/{above[0]}")
    if not is_photo_name(short.name):
        return False
    return not is_hidden(short.name) or _note(left_out.hidden, f"{root}/{short}")


def _note(paths: list[str], path: str) -> bool:
    if path not in paths[-1:]:  # the files of a folder come one after another
        paths.append(path)
    return False


def _listed(url: Url, *, recursive: bool) -> Mapping[str, Mapping[str, Any]]:
    files, root = open_url(url)
    try:
        found = files.find(root, detail=True) if recursive else {}
        found = found or files_in(files, root)
    except FileNotFoundError as error:
        if error_code(error) == "NoSuchBucket":
            raise FileNotFoundError(f"{url} cannot be listed: {reason_of(error)}") from error
        found = {}
    except Exception as error:  # each file system raises its own kinds
        raise ValueError(f"{url} cannot be listed: {reason_of(error)}: check its name and your credentials") from error
    if not found:
        raise FileNotFoundError(f"{url} does not exist, or holds no files{'' if recursive else ' outside its folders'}")
    return found


def _stamp(entry: Mapping[str, Any]) -> Stamp:
    """Identifies an object's content by its size and ETag; where a store has none, by its size and second of change.

    S3 lists objects with milliseconds and gives one object's time in whole seconds. Some stores quote ETags only in one
    of the two.
    """
    size, etag = int(entry["size"] or 0), entry.get("ETag") or entry.get("etag")
    if etag:
        return size, str(etag).strip('"')
    moment = next((entry[name] for name in TIMES if entry.get(name) is not None), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    return size, int(seconds) * 10**9


def load_photo(job: Job, options: ReadOptions) -> Photo:
    """Decodes the photo that was listed.

    Raises:
        PhotoError: see wordmask.photo.reading.load_bytes; IO if it cannot be read or has changed.
    """
    assert isinstance(job.path, Url)
    url = job.path
    if job.stamp is not None and job.stamp[0] > most_bytes(options.max_pixels):
        found = f"the file has {job.stamp[0]} bytes, more than any allowed photo needs"
        raise PhotoError("TOO_LARGE", f"{str(url)!r}: {found}")
    files, path = open_url(url)
    try:
        data = files.cat_file(path)
        after = _stamp(files.info(path))
    except Exception as error:  # each file system raises its own kinds
        found = "it is not there any more" if isinstance(error, FileNotFoundError) else reason_of(error)
        raise PhotoError("IO", f"{str(url)!r}: it cannot be read: {found}") from error
    if after != job.stamp:
        raise PhotoError("IO", f"{str(url)!r}: it changed since the run began: run again when it is complete")
    return load_bytes(data, str(url), options)
