"""PNG files made byte by byte: any depth, colour type, interlacing and chunk."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photos import chunk

_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_of(
    samples: NDArray[np.integer],
    depth: int,
    colour: int,
    *,
    before: Sequence[bytes] = (),
    after: Sequence[bytes] = (),
    interlaced: bool = False,
) -> bytes:
    """A PNG.

    Args:
        samples: (H, W, C).
        depth: bits of a sample.
        colour: 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA.
        before: chunks between the header and the pixels. after: chunks behind the pixels.
        interlaced: in Adam7's seven passes.
    """
    height, width = samples.shape[:2]
    steps = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    rows = b"".join(
        b"\0" + _packed(row, depth) for y, x, down, right in steps for row in samples[y::down, x::right] if row.size
    )
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced)))
    middle = [*before, chunk(b"IDAT", zlib.compress(rows)), *after]
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(middle) + chunk(b"IEND", b"")


def _packed(row: NDArray[np.integer], depth: int) -> bytes:
    bits = np.unpackbits(row.reshape(-1).astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)
    return np.packbits(bits[:, 16 - depth :]).tobytes()
