"""Writing into a folder that has its final name only once all is there; long JSON lists without holding them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wordmask.formats.json import json_bytes


def write(path: Path, content: bytes) -> None:
    """Writes a file, and the folders it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def append(path: Path, content: bytes) -> None:
    """Adds to a file."""
    with path.open("ab") as file:
        file.write(content)


class CocoDocument:
    """A JSON file with two long lists, `annotations` and `images`; an entry a line."""

    def __init__(self, path: Path, head: Mapping[str, Any]) -> None:
        """Begins the file with what stands before the lists."""
        self._path, self._images = path, path.with_name(f".{path.name}-images")
        self._annotations_written = self._images_written = False
        write(path, json_bytes(head).removesuffix(b"}\n") + b',\n"annotations": [')
        write(self._images, b"")

    def add(self, image: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]) -> None:
        """Adds a photo and what is known of it."""
        lines = b"".join(b",\n" + json_bytes(annotation).rstrip() for annotation in annotations)
        append(self._path, lines if self._annotations_written else lines[1:])
        self._annotations_written = self._annotations_written or bool(lines)
        append(self._images, (b",\n" if self._images_written else b"\n") + json_bytes(image).rstrip())
        self._images_written = True

    def finish(self) -> None:
        """Ends the file."""
        with self._path.open("ab") as file, self._images.open("rb") as images:
            file.write(b'\n],\n"images": [')
            shutil.copyfileobj(images, file)
            file.write(b"\n]}\n")
        self._images.unlink()
