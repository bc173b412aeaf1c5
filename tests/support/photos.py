"""Photos made for tests: encoded as asked for, whole or broken."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from wordmask.errors import PhotoError
from wordmask.photo.reading import decode

Pixels = NDArray[np.uint8]


def photo(height: int = 90, width: int = 120) -> Pixels:
    """Smooth colours with some seeded grain, so that files have the usual mixture of codes."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 13)], axis=-1)
    grain = np.random.default_rng(3).normal(0, 12, waves.shape)
    return np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)


def encoded(pixels: Pixels | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height as the file's header has them."""
    with Image.open(path) as picture:
        return picture.size


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG whose rows each begin with the filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def refused(path: Path, **options: object) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        decode(path, **options)
    assert repr(str(path)) in str(caught.value)
    return caught.value


JPEG_VARIANTS: list[dict[str, object]] = [
    {},
    {"quality": 100, "subsampling": 0},
    {"optimize": True},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 5},
    {"progressive": True},
    {"progressive": True, "restart_marker_rows": 1},
    {"keep_rgb": True},
]
