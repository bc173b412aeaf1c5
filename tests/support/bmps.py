"""BMP files made byte by byte, with any header, palette and masks."""

from __future__ import annotations

import struct
from collections.abc import Sequence


def bmp(
    width: int,
    height: int,
    bits: int,
    rows: bytes,
    *,
    header: int = 40,
    compression: int = 0,
    palette: Sequence[tuple[int, int, int]] = (),
    colours: int | None = None,
    masks: Sequence[int] = (),
) -> bytes:
    """A BMP.

    Args:
        width, height: of the picture; a negative height says that the top row is first.
        bits: of a pixel.
        rows: the pixels as they are stored, padded.
        header: its size: 12 (OS/2), 40, 52, 56, 108 (V4) or 124 (V5).
        compression: 0 none, 1 RLE8, 2 RLE4, 3 bit fields.
        palette: RGB.
        colours: how many the header says there are; None says how many there are.
        masks: of the bit fields: red, green, blue and in large headers alpha.
    """
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
        table = b"".join(bytes([b, g, r]) for r, g, b in palette)
    else:
        count = len(palette) if colours is None else colours
        info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(rows), 2835, 2835, count, 0)
        packed = struct.pack(f"<{len(masks)}I", *masks)
        info = (info + packed)[:header].ljust(header, b"\0") if header > 40 else info + packed
        table = b"".join(bytes([b, g, r, 0]) for r, g, b in palette)
    start = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + info + table + rows
