"""Places that are no paths of this machine, such as s3://bucket/folder: read and written through fsspec."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any


@dataclass(frozen=True)
class Url:
    """The name of a file or folder somewhere."""

    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def suffix(self) -> str:
        """Of the last part, as a path's."""
        return PurePosixPath(self.text).suffix


Place = Path | Url


def parse_place(text: str) -> Place:
    """A URL where there is a scheme, else a path."""
    return Url(text.rstrip("/")) if "://" in text else Path(text)


def open_url(url: Url) -> tuple[Any, str]:
    """The file system of a URL, which keeps no listings, and the path in it.

    Raises:
        ValueError: nothing here knows this kind of URL, or it lacks what it needs.
    """
    import fsspec  # noqa: PLC0415  (of the extra `ray`)

    try:
        files, path = fsspec.core.url_to_fs(str(url), use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{url} cannot be used: {error}") from error
    return files, path
