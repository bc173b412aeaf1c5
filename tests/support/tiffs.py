"""TIFF files made byte by byte, so that any tag can be set."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

SHORT, LONG, LONG8 = 3, 4, 16
_SIZES = {SHORT: "H", LONG: "I", LONG8: "Q"}


def tiff(
    width: int,
    height: int,
    chunks: Sequence[bytes],
    tags: Mapping[int, Sequence[int]],
    *,
    order: str = "<",
    big: bool = False,
) -> bytes:
    """A TIFF of one page.

    Args:
        width, height: of the picture.
        chunks: the strips, or with the tags 322 and 323 the tiles.
        tags: further tags; a value above 65535 makes all of its tag LONG.
        order: "<" for II, ">" for MM.
        big: BigTIFF.
    """
    offsets, counts = (324, 325) if 322 in tags else (273, 279)
    header = {"<": b"II", ">": b"MM"}[order] + (
        struct.pack(f"{order}HHHQ", 43, 8, 0, 16 + sum(map(len, chunks)))
        if big
        else struct.pack(f"{order}HI", 42, 8 + sum(map(len, chunks)))
    )
    places = [len(header) + sum(map(len, chunks[:index])) for index in range(len(chunks))]
    entries = {256: [width], 257: [height], offsets: places, counts: [len(chunk) for chunk in chunks], **tags}
    start = len(header) + sum(map(len, chunks))
    word, slot = ("Q", 8) if big else ("I", 4)
    directory = struct.pack(order + ("Q" if big else "H"), len(entries))
    behind, behind_start = b"", start + len(directory) + len(entries) * (12 + 2 * slot - 4 * (1 - big) * 0) + slot
    behind_start = start + len(directory) + len(entries) * (20 if big else 12) + slot
    for tag, values in sorted(entries.items()):
        kind = LONG if max(values) > 65535 or tag in (offsets, counts) else SHORT
        packed = struct.pack(f"{order}{len(values)}{_SIZES[kind]}", *values)
        directory += struct.pack(f"{order}HH{word}", tag, kind, len(values))
        if len(packed) <= slot:
            directory += packed.ljust(slot, b"\0")
        else:
            directory += struct.pack(order + word, behind_start + len(behind))
            behind += packed + b"\0" * (len(packed) % 2)
    return header + b"".join(chunks) + directory + bytes(slot) + behind
