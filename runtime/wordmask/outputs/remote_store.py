"""A run's outputs in an object store, through fsspec: s3://, gs:// and its other protocols."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

from wordmask.bundle.search import writable_cache
from wordmask.errors import OutputError
from wordmask.photo.url import Url, open_url

AT_ONCE = 256  # files read in one request


@dataclass(frozen=True)
class RemoteFolder:
    """A store (see wordmask.outputs.store) in an object store. A file appears whole, in one request."""

    url: Url

    def __str__(self) -> str:
        return str(self.url)

    @cached_property
    def home(self) -> Path:
        """A folder in the user's cache, or a temporary one where that cannot be written, of this URL alone."""
        return writable_cache() / "runs" / hashlib.sha256(str(self.url).encode()).hexdigest()[:16]

    def _path(self, name: str) -> str:
        return f"{open_url(self.url)[1]}/{name}" if name else open_url(self.url)[1]

    def write(self, contents: Mapping[str, Iterable[bytes]]) -> None:
        """See wordmask.outputs.store."""
        for name, parts in contents.items():
            with tempfile.NamedTemporaryFile() as file:
                file.writelines(parts)
                file.flush()
                self.upload(name, Path(file.name))

    def upload(self, name: str, file: Path) -> None:
        """Uploads a local file.

        Raises:
            OutputError: it cannot be written.
        """
        with self._output_errors("write", name):
            open_url(self.url)[0].put_file(str(file), self._path(name))

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """See wordmask.outputs.store."""
        rest = iter(names)
        while some := list(islice(rest, AT_ONCE)):
            paths = [self._path(name) for name in some]
            with self._output_errors("read", some[0]):
                contents = open_url(self.url)[0].cat(paths)
            yield from (contents[path] for path in paths)

    def inventory(self, folders: Iterable[str]) -> Callable[[str], bool]:
        """See wordmask.outputs.store. Lists each folder once."""
        found = {path for folder in folders for path in self._listed(folder)}
        return lambda name: self._path(name) in found

    def _listed(self, folder: str) -> list[str]:
        with self._output_errors("list", folder), contextlib.suppress(FileNotFoundError):
            listed: list[str] = open_url(self.url)[0].find(self._path(folder), maxdepth=None if folder else 1)
            return listed
        return []

    def remove(self, names: Iterable[str]) -> None:
        """See wordmask.outputs.store. There are no folders that could be left empty."""
        wanted = list(names)
        there = self.inventory({str(PurePosixPath(name).parts[0]) if "/" in name else "" for name in wanted})
        paths = [self._path(name) for name in wanted if there(name)]
        if paths:
            with self._output_errors("remove", "outputs of an earlier run"):
                open_url(self.url)[0].rm(paths)

    def tidy(self, folders: Sequence[str]) -> None:
        """Does nothing: an upload leaves no temporary files."""

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
