"""Arrays as bytes of a file that is written and read quickly, and in which damage is found.

Floats are hard to compress as they stand. Their bytes are put into planes: all first bytes, all second bytes, and so
on. Exponents of neighbours are alike, and of values that half precision can hold the low bytes are zero.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.formats.json import json_bytes

LEVEL = 1  # of zlib: higher ones take twice the time for a hundredth of the size
_KINDS = "biuf"  # of dtypes


@dataclass(frozen=True)
class _Entry:
    name: str
    dtype: str
    shape: tuple[int, ...]
    size: int  # in bytes, compressed


def pack(header: str, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Packs arrays of numbers.

    Args:
        header: a text that `unpack` gives back.
        arrays: by name; no values are lost.
    """
    parts = [zlib.compress(_planes(array), LEVEL) for array in arrays.values()]
    entries = [
        asdict(_Entry(name, array.dtype.str, array.shape, len(part)))
        for (name, array), part in zip(arrays.items(), parts, strict=True)
    ]
    return b"".join([json_bytes({"header": header, "arrays": entries}), *parts])


def unpack(content: bytes) -> tuple[str, dict[str, NDArray[Any]]]:
    """The header and the arrays of `pack`.

    Raises:
        ValueError: the content is damaged, or something else.
    """
    try:
        line, _, rest = content.partition(b"\n")
        raw = json.loads(line)
        entries = [_Entry(**{**entry, "shape": tuple(entry["shape"])}) for entry in raw["arrays"]]
        if len(rest) != sum(entry.size for entry in entries):
            raise ValueError("it is not complete")
        return str(raw["header"]), dict(_arrays(entries, memoryview(rest)))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError, zlib.error) as error:
        raise ValueError(f"no packed arrays, or damaged ones: {error}") from error


def _planes(array: NDArray[Any]) -> bytes:
    """The bytes of N numbers, plane by plane."""
    flat = np.ascontiguousarray(array).reshape(-1, 1)
    return flat.view(np.uint8).T.tobytes()  # (N, itemsize) -> (itemsize, N)


def _arrays(entries: list[_Entry], rest: memoryview) -> Iterator[tuple[str, NDArray[Any]]]:
    for entry in entries:
        dtype, count = np.dtype(entry.dtype), math.prod(entry.shape)
        if dtype.kind not in _KINDS:
            raise ValueError(f"{entry.name} is of the type {dtype}")
        size = count * dtype.itemsize
        opened = zlib.decompressobj()
        found = opened.decompress(rest[: entry.size], size + 1)
        if len(found) != size or not opened.eof:
            raise ValueError(f"{entry.name} has another size than {entry.shape}")
        planes = np.frombuffer(found, np.uint8).reshape(dtype.itemsize, count)
        # (itemsize, N) -> (N, itemsize)
        yield entry.name, np.ascontiguousarray(planes.T).view(dtype).reshape(entry.shape)
        rest = rest[entry.size :]
