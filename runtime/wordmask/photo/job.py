"""One photo of a run: its path, the name of its outputs, and how to detect that the file has changed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wordmask.photo.url import Place, Url

# size in bytes, and time of the last change in nanoseconds, which rsync compares too, or the ETag of an object
Stamp = tuple[int, int | str]


@dataclass(frozen=True)
class Job:
    """A photo of a run.

    Attributes:
        path: the file, or a URL.
        name: of its outputs: a unique relative path without suffix.
        number: position among the run's photos, from 1; its id in the annotations.
        stamp: of the file when it was listed; None if it could not be read.
    """

    path: Place
    name: str
    number: int
    stamp: Stamp | None

    @property
    def file(self) -> Path:
        """The path of a photo on this machine."""
        if isinstance(self.path, Url):
            raise ValueError(f"{self.path} is a URL: give photos of this machine")
        return self.path


def stamp(path: Path) -> Stamp | None:
    """Identifies a file's content; None if it cannot be read."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
