"""A run's outputs in an object store, through fsspec: s3://, gs:// and its other protocols."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from glob import has_magic
from itertools import islice
from pathlib import Path, PurePosixPath

from wordmask.errors import OutputError
from wordmask.photo.url import Url, error_code, files_in, open_url, reason_of
from wordmask.system.user_cache import writable_cache

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
                contents = self._contents(paths)
            yield from (contents[path] for path in paths)

    def _contents(self, paths: list[str]) -> Mapping[str, bytes]:
        """Files at once where that is safe: fsspec takes lists for patterns, and [1] in a photo's name for one."""
        files = open_url(self.url)[0]
        plain = [path for path in paths if not has_magic(path)]
        odd = {path: files.cat_file(path) for path in paths if has_magic(path)}
        return {**(files.cat(plain) if plain else {}), **odd}

    def inventory(self, folders: Iterable[str]) -> Callable[[str], bool]:
        """See wordmask.outputs.store. Lists each folder once."""
        found = {path for folder in folders for path in self._listed(folder)}
        return lambda name: self._path(name) in found

    def _listed(self, folder: str) -> list[str]:
        files = open_url(self.url)[0]
        with self._output_errors("list", folder):
            try:
                return list(files.find(self._path(folder)) if folder else files_in(files, self._path(folder)))
            except FileNotFoundError as error:
                if error_code(error) == "NoSuchBucket":
                    raise
                return []

    def remove(self, names: Iterable[str]) -> None:
        """See wordmask.outputs.store. There are no folders that could be left empty."""
        wanted = list(names)
        there = self.inventory({str(PurePosixPath(name).parts[0]) if "/" in name else "" for name in wanted})
        paths = [self._path(name) for name in wanted if there(name)]
        files = open_url(self.url)[0]
        plain = [path for path in paths if not has_magic(path)]
        with self._output_errors("remove", "outputs of an earlier run"):
            if plain:
                files.rm(plain)
            for path in filter(has_magic, paths):  # as a pattern it could remove other files
                files.rm_file(path)

    def tidy(self, folders: Sequence[str]) -> None:
        """Does nothing: an upload leaves no temporary files."""

    @contextlib.contextmanager
    def _output_errors(self, verb: str, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each file system has its own
            where = f"{self.url}/{name}" if name else str(self.url)
            raise OutputError(f"cannot {verb} {where}: {reason_of(error)}") from error
