"""Reads the tags of a TIFF's first page that say how its pixels are stored (TIFF 6.0; BigTIFF; both byte orders)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

BYTE_ORDERS = {b"II": "<", b"MM": ">"}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}  # by TIFF's types
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 254, 256, 257, 258, 259, 262, 266
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _PLANAR = 273, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _INK_SET, _EXTRA, _FORMAT = 322, 323, 324, 332, 338, 339
_DNG_VERSION = 50706
_MOST_SAMPLES = 65535
RAW_PHOTOMETRICS = frozenset({32803, 34892})  # colour filter array, linear raw


@dataclass(frozen=True)
class TiffTags:
    """How the first page of a TIFF is stored.

    Attributes:
        order: byte order, "<" or ">".
        big: BigTIFF.
        width, height: in pixels, as stored.
        bits: of each sample of a pixel.
        formats: of the samples: 1 unsigned, 2 signed, 3 float; without repetition.
        extra: meaning of the samples beyond the colours: 0 none, 1 premultiplied alpha, 2 alpha.
        compression, photometric, fill_order, ink_set: codes of the tags.
        planar: each sample of a pixel is stored in a plane of its own.
        camera_raw: the page is a camera's raw data, or a preview of them.
        chunks: number of strips or tiles that the page needs; None if that cannot be said.
        offsets: of the strips or tiles, at most `chunks`.
    """

    order: str
    big: bool
    width: int
    height: int
    bits: tuple[int, ...]
    formats: frozenset[int]
    extra: tuple[int, ...]
    compression: int
    photometric: int
    fill_order: int
    ink_set: int
    planar: bool
    camera_raw: bool
    chunks: int | None
    offsets: tuple[int, ...]


def read_tags(file: IO[bytes]) -> TiffTags | None:
    """Tags of the first page; None if they cannot be followed."""
    try:
        return _read(file)
    except (struct.error, IndexError, KeyError, ValueError, OverflowError):
        return None


def _read(file: IO[bytes]) -> TiffTags:
    file.seek(0)
    head = file.read(16)
    order = BYTE_ORDERS[head[:2]]
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    entries = _entries(
        file, order, big, struct.unpack(f"{order}Q" if big else f"{order}I", head[8:16] if big else head[4:8])[0]
    )

    def values(tag: int, default: Sequence[int], most: int = _MOST_SAMPLES) -> tuple[int, ...]:
        return _values(file, order, big, entries[tag], most) if tag in entries else tuple(default)

    def value(tag: int, default: int) -> int:
        return values(tag, [default])[0]

    width, height = values(_WIDTH, [])[0], values(_HEIGHT, [])[0]
    compression, photometric, bits = value(_COMPRESSION, 1), value(_PHOTOMETRIC, 0), values(_BITS, [1])
    samples = value(_SAMPLES, 3 if compression == 6 and photometric in (2, 6) else 1)
    bits = bits * min(samples, _MOST_SAMPLES) if len(bits) == 1 else bits[:samples]
    tiled = _TILE_OFFSETS in entries and _STRIP_OFFSETS not in entries
    chunk_width, chunk_height = (
        (value(_TILE_WIDTH, 0), value(_TILE_HEIGHT, 0)) if tiled else (width, value(_ROWS_PER_STRIP, height))
    )
    planar = value(_PLANAR, 1) == 2 and samples > 1
    chunks = None
    if chunk_width > 0 and chunk_height > 0:
        chunks = -(-width // chunk_width) * -(-height // chunk_height) * (samples if planar else 1)
    return TiffTags(
        order=order,
        big=big,
        width=width,
        height=height,
        bits=bits,
        formats=frozenset(values(_FORMAT, [1])[:samples]),
        extra=values(_EXTRA, []),
        compression=compression,
        photometric=6 if compression == 6 else photometric,
        fill_order=value(_FILL_ORDER, 1),
        ink_set=value(_INK_SET, 1),
        planar=planar,
        camera_raw=bool(value(_SUBFILE, 0) & 1) or _DNG_VERSION in entries or photometric in RAW_PHOTOMETRICS,
        chunks=chunks,
        offsets=values(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, [], chunks or 0),
    )


_Entry = tuple[int, int, bytes]  # type, number of values, the values or their place


def _entries(file: IO[bytes], order: str, big: bool, start: int) -> dict[int, _Entry]:
    file.seek(start)
    count_size, size = (8, 20) if big else (2, 12)
    count = struct.unpack(order + ("Q" if big else "H"), file.read(count_size))[0]
    data = file.read(min(count, 65535) * size)
    found = {}
    for entry in struct.iter_unpack(order + ("HHQ8s" if big else "HHI4s"), data[: len(data) // size * size]):
        found[entry[0]] = entry[1:]
    return found


def _values(file: IO[bytes], order: str, big: bool, entry: _Entry, most: int) -> tuple[int, ...]:
    """The first values of an entry of integers."""
    kind, count, data = entry
    count = min(count, most)
    size = struct.calcsize(order + _INTEGERS[kind]) * count
    if struct.calcsize(order + _INTEGERS[kind]) * entry[1] > len(data):
        file.seek(struct.unpack(order + ("Q" if big else "I"), data)[0])
        data = file.read(size)
    return struct.unpack(f"{order}{count}{_INTEGERS[kind]}", data[:size])
