"""Photos and outputs in an object store, through fsspec: s3://, gs:// and whatever else it knows."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from wordmask.bundle.search import user_cache
from wordmask.errors import OutputError, PhotoError
from wordmask.photo.job import Job, Stamp
from wordmask.photo.reading import IMAGE_SUFFIXES, Photo, load_bytes, most_bytes
from wordmask.photo.url import Place, Url, open_url

AT_ONCE = 256  # files asked for together
TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")  # what file systems call the last change


def list_photos(url: Url, *, recursive: bool, apart_from: Place | None) -> list[tuple[Place, Path, Stamp | None]]:
    """A file as given, or a folder's image files in the order of a local folder, without those inside `apart_from`.

    Returns:
        Each photo's URL, its path relative to the folder, and its stamp.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it cannot be listed.
    """
    files, root = open_url(url)
    try:
        found = files.find(root, maxdepth=None if recursive else 1, detail=True)
    except FileNotFoundError:
        found = {}
    except Exception as error:  # each file system has its own
        raise ValueError(f"{url} cannot be listed ({error}): check its name and your credentials") from error
    if not found:
        raise FileNotFoundError(f"{url} does not exist, or is empty")
    if list(found) == [root]:
        return [(url, Path(PurePosixPath(root).name), _stamp(found[root]))]
    results = None
    if isinstance(apart_from, Url) and open_url(apart_from)[0] is files:
        results = f"{open_url(apart_from)[1]}/"
    short = {path: PurePosixPath(path).relative_to(root) for path in found}
    return [
        (Url(files.unstrip_protocol(path)), Path(short[path]), _stamp(found[path]))
        for path in sorted(found, key=short.__getitem__)
        if short[path].suffix.lower() in IMAGE_SUFFIXES and not short[path].name.startswith(".")
        if results is None or not path.startswith(results)
    ]


def _stamp(entry: Mapping[str, Any]) -> Stamp:
    """Identifies an object's content by its size and time of change, which some stores know to the second."""
    moment = next((entry[name] for name in TIMES if entry.get(name) is not None), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
    return int(entry["size"] or 0), int(seconds * 1e9)


def load_photo(job: Job, *, lenient: bool = False) -> Photo:
    """Decodes the photo that was listed.

    Raises:
        PhotoError: see wordmask.photo.reading.load_bytes; IO if it cannot be read or is another one by now.
    """
    assert isinstance(job.path, Url)
    url = job.path
    if job.stamp is not None and job.stamp[0] > most_bytes():
        found = f"the file has {job.stamp[0]} bytes, more than any allowed photo needs"
        raise PhotoError("TOO_LARGE", f"{str(url)!r}: {found}")
    files, path = open_url(url)
    try:
        data = files.cat_file(path)
        after = _stamp(files.info(path))
    except Exception as error:  # each file system has its own
        found = "it is not there any more" if isinstance(error, FileNotFoundError) else str(error)
        raise PhotoError("IO", f"{str(url)!r}: it cannot be read ({found})") from error
    if after != job.stamp:
        raise PhotoError("IO", f"{str(url)!r}: it changed since the run began: run again when it is complete")
    return load_bytes(data, str(url), lenient=lenient)


@dataclass(frozen=True)
class RemoteFolder:
    """A store (see wordmask.store) in an object store. A file appears whole, in one request."""

    url: Url

    def __str__(self) -> str:
        return str(self.url)

    @cached_property
    def home(self) -> Path:
        """A folder in the user's cache, of this URL alone."""
        return user_cache() / "runs" / hashlib.sha256(str(self.url).encode()).hexdigest()[:16]

    def _path(self, name: str) -> str:
        return f"{open_url(self.url)[1]}/{name}" if name else open_url(self.url)[1]

    def write(self, contents: Mapping[str, Iterable[bytes]]) -> None:
        """See wordmask.store."""
        for name, parts in contents.items():
            with tempfile.NamedTemporaryFile() as file:
                file.writelines(parts)
                file.flush()
                self.upload(name, Path(file.name))

    def upload(self, name: str, file: Path) -> None:
        """Writes what stands in a local file.

        Raises:
            OutputError: it cannot be written.
        """
        with self._output_errors("write", name):
            open_url(self.url)[0].put_file(str(file), self._path(name))

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """See wordmask.store."""
        rest = iter(names)
        while some := list(islice(rest, AT_ONCE)):
            paths = [self._path(name) for name in some]
            with self._output_errors("read", some[0]):
                contents = open_url(self.url)[0].cat(paths)
            yield from (contents[path] for path in paths)

    def inventory(self, folders: Iterable[str]) -> Callable[[str], bool]:
        """See wordmask.store. Lists each folder once."""
        found = {path for folder in folders for path in self._listed(folder)}
        return lambda name: self._path(name) in found

    def _listed(self, folder: str) -> list[str]:
        with self._output_errors("list", folder), contextlib.suppress(FileNotFoundError):
            listed: list[str] = open_url(self.url)[0].find(self._path(folder), maxdepth=None if folder else 1)
            return listed
        return []

    def remove(self, names: Iterable[str]) -> None:
        """See wordmask.store. There are no folders that could be left empty."""
        wanted = list(names)
        there = self.inventory({str(PurePosixPath(name).parts[0]) if "/" in name else "" for name in wanted})
        paths = [self._path(name) for name in wanted if there(name)]
        if paths:
            with self._output_errors("remove", "outputs of an earlier run"):
                open_url(self.url)[0].rm(paths)

    def tidy(self, folders: Sequence[str]) -> None:
        """Nothing is ever left unfinished."""

    @contextlib.contextmanager
    def _output_errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            if verb == "list":
                raise
            raise OutputError(f"cannot {verb} {self.url}/{name}: it is not there") from None
        except Exception as error:  # each file system has its own
            raise OutputError(f"cannot {verb} {self.url}/{name}: {error}") from error
