"""Where a run's outputs are stored. Files have relative names with slashes and appear complete or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

from wordmask.errors import OutputError
from wordmask.system.files import TEMPORARY, write_files


class Store(Protocol):
    """A folder or an object store for outputs."""

    @property
    def home(self) -> Path:
        """A folder of this machine for the lock and the journal."""

    def write(self, contents: Mapping[str, Iterable[bytes]]) -> None:
        """Writes files, given in parts by name. An earlier file stays until the new one is complete.

        Raises:
            OutputError: one cannot be written.
        """

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """The files' contents in order, read as they are asked for.

        Raises:
            OutputError: one cannot be read.
        """

    def inventory(self, folders: Iterable[str]) -> Callable[[str], bool]:
        """Returns a test whether a file exists now, by its name in one of these folders (`""` is the top)."""

    def remove(self, names: Iterable[str]) -> None:
        """Removes the files that exist, and folders that become empty.

        Raises:
            OutputError: one cannot be removed.
        """

    def tidy(self, folders: Sequence[str]) -> None:
        """Removes temporary files of killed runs in these folders and at the top."""


@dataclass(frozen=True)
class Folder:
    """A folder of this machine."""

    path: Path

    @property
    def home(self) -> Path:
        """The folder itself."""
        return self.path

    def __str__(self) -> str:
        return str(self.path)

    def write(self, contents: Mapping[str, Iterable[bytes]]) -> None:
        """See wordmask.system.files.write_files."""
        write_files({self.path / name: parts for name, parts in contents.items()})

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """See Store."""
        for name in names:
            try:
                yield (self.path / name).read_bytes()
            except OSError as error:
                found = f"cannot be read ({error.strerror})"
                raise OutputError(f"{self.path / name} {found}: remove it and run again") from error

    def inventory(self, folders: Iterable[str]) -> Callable[[str], bool]:
        """See Store."""
        return lambda name: (self.path / name).is_file()

    def remove(self, names: Iterable[str]) -> None:
        """See Store."""
        folders: set[Path] = set()
        for path in (self.path / name for name in names):
            try:
                path.unlink()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise OutputError(f"cannot remove {str(path)!r}: {error.strerror}") from error
            folders.update(parent for parent in path.parents if self.path in parent.parents)
        for folder in sorted(folders, key=lambda path: len(path.parts), reverse=True):
            with contextlib.suppress(OSError):  # it holds more
                folder.rmdir()

    def tidy(self, folders: Sequence[str]) -> None:
        """See Store."""
        pattern = f"{TEMPORARY}*"
        for left in chain(self.path.glob(pattern), *((self.path / folder).rglob(pattern) for folder in folders)):
            left.unlink(missing_ok=True)
