"""Files of a conversion; long JSON lists are written without holding them in memory."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from wordmask.formats.coco import CocoDocument
from wordmask.outputs.finished_run import RunPhoto


class Writer(Protocol):
    """Writes one format into a folder that exists."""

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo; ConversionError where the format or the photo does not let it."""

    def finish(self) -> None:
        """Writes what can only be written at the end; of most formats nothing."""


def write(path: Path, content: bytes) -> None:
    """Writes a file, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Appends to a file."""
    with path.open("ab") as file:
        file.write(content)


class CocoFile:
    """A COCO document on disk. The images' lines stand in a second file until the end."""

    def __init__(self, path: Path, categories: Sequence[Mapping[str, Any]], *, numbered: bool = True) -> None:
        """Begins the file; see CocoDocument."""
        self._path, self._images = path, path.with_name(f".{path.name}-images")
        self._document = CocoDocument(categories, numbered=numbered)
        write(path, self._document.head)
        write(self._images, b"")

    def add(self, image: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]) -> None:
        """Adds a photo and its annotations."""
        append(self._path, b"".join(self._document.annotations(image, annotations)))
        append(self._images, self._document.image(image))

    def finish(self) -> None:
        """Ends the file."""
        with self._path.open("ab") as file, self._images.open("rb") as images:
            file.write(self._document.MIDDLE)
            shutil.copyfileobj(images, file)
            file.write(self._document.END)
        self._images.unlink()
