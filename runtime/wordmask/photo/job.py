"""One photo of a run: where it stands, what its outputs are called, and how to know that it is still the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wordmask.photo.url import Place, Url

Stamp = tuple[int, int]  # bytes, and nanoseconds at the last change: what rsync and make go by


@dataclass(frozen=True)
class Job:
    """A photo of a run.

    Attributes:
        path: the file, or a URL.
        name: of its outputs: a relative path without suffix, of its own.
        number: place among the run's photos, from 1; its id in the annotations.
        stamp: of the file when it was listed; None if it cannot be looked at.
    """

    path: Place
    name: str
    number: int
    stamp: Stamp | None

    @property
    def file(self) -> Path:
        """The path of a photo that stands on this machine."""
        if isinstance(self.path, Url):
            raise ValueError(f"{self.path} is a URL: give photos of this machine")
        return self.path


def stamp(path: Path) -> Stamp | None:
    """Identifies a file's content; None if it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
