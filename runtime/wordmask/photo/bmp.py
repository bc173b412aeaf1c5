"""Reads BMPs with a palette, which Pillow gets wrong: two greys at more than one bit, runs of an odd length in RLE4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.errors import PhotoError

_OS2_HEADER = 12
_PALETTE_BITS = (1, 4, 8)
_NONE, _RLE8, _RLE4 = 0, 1, 2


def read_palette_bmp(data: bytes) -> Image.Image | None:
    """The RGB image of a BMP with a palette; None for any other BMP.

    Args:
        data: the file, whose size in pixels has been checked.

    Raises:
        PhotoError: DECODE (the file is cut, or a pixel has no colour).
    """
    header, start = _number(data, 14, 4), _number(data, 10, 4)
    if header == _OS2_HEADER:
        width, height, bits, compression = _number(data, 18, 2), _number(data, 20, 2), _number(data, 24, 2), _NONE
        size, colours = 3, 0
    else:
        width, height, bits, compression = (_number(data, *place) for place in ((18, 4), (22, 4), (28, 2), (30, 4)))
        size, colours = 4, _number(data, 46, 4)
    if bits not in _PALETTE_BITS or (compression, bits) not in {(_NONE, bits), (_RLE8, 8), (_RLE4, 4)}:
        return None
    top_down = height >= 1 << 31
    height = (1 << 32) - height if top_down else height
    colours = min(colours or 1 << bits, 1 << bits)
    place = 14 + header
    palette = np.frombuffer(data[place : place + size * colours], np.uint8)
    palette = palette[: len(palette) // size * size].reshape(-1, size)[:, 2::-1]  # (N, BGR or BGRX) -> (N, RGB)
    start = place + size * colours if start == place else start  # some writers leave the palette out of it
    if compression == _NONE:
        index = _unpacked(data[start:], width, height, bits)
    else:
        index = _from_runs(data[start:], width, height, bits)
    if index.max() >= len(palette):
        found = f"the BMP's palette has {len(palette)} colours, but a pixel has the colour {index.max()}"
        raise PhotoError("DECODE", f"{found}: copy or download it again")
    return Image.fromarray(palette[index if top_down else index[::-1]])


def _number(data: bytes, start: int, size: int) -> int:
    return int.from_bytes(data[start : start + size], "little")


def _cut() -> PhotoError:
    return PhotoError("DECODE", "the BMP ends inside its pixels: copy or download it again")


def _unpacked(data: bytes, width: int, height: int, bits: int) -> NDArray[np.uint8]:
    """Palette indices (H, W) of rows that are padded to four bytes."""
    stride = (width * bits + 31) // 32 * 4
    if len(data) < stride * (height - 1) + (width * bits + 7) // 8:
        raise _cut()
    rows = np.frombuffer(data[: stride * height].ljust(stride * height, b"\0"), np.uint8).reshape(height, stride)
    if bits == 8:
        return rows[:, :width]
    parts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    index = rows[:, :, None] >> parts & np.uint8((1 << bits) - 1)  # (H, stride, indices in a byte)
    return index.reshape(height, -1)[:, :width]


def _from_runs(data: bytes, width: int, height: int, bits: int) -> NDArray[np.uint8]:
    """Palette indices (H, W) of RLE4 or RLE8; pixels that are skipped have the index 0."""
    index = np.zeros((height, width), np.uint8)
    position = x = y = 0
    while y < height:
        if position + 2 > len(data):
            raise _cut()
        count, value = data[position], data[position + 1]
        position += 2
        if count:
            run = _nibbles(bytes([value]) * count, count) if bits == 4 else np.full(count, value, np.uint8)
        elif value == 0:  # end of the row
            x, y = 0, y + 1
            continue
        elif value == 1:  # end of the picture
            break
        elif value == 2:  # a step to the right and on to later rows
            x, y, position = x + _number(data, position, 1), y + _number(data, position + 1, 1), position + 2
            continue
        else:
            size = (value + 1) // 2 if bits == 4 else value
            stored = data[position : position + size]
            if len(stored) < size:
                raise _cut()
            run = _nibbles(stored, value) if bits == 4 else np.frombuffer(stored, np.uint8)
            position += size + size % 2
        run = run[: max(width - x, 0)]
        index[y, x : x + len(run)] = run
        x += len(run)
    if y < height - 1 or (y == height - 1 and x < width):
        raise _cut()
    return index


def _nibbles(stored: bytes, count: int) -> NDArray[np.uint8]:
    values = np.frombuffer(stored, np.uint8)
    return np.stack([values >> 4, values & 15], axis=-1).reshape(-1)[:count]
