"""COCO's compressed run-length code, the form in which masks leave the runtime.

A mask is read column by column; the code holds the lengths of its runs, starting with a run of zeros (which may be
empty). From the fourth run on, the difference to the run two before is stored. Each number is cut into groups of five
bits, lowest first; a group is one character: 48 + bits + 32 if more follow. Bit 4 of the last group is the sign.
Source: pycocotools, common/maskApi.c; the strings are identical.

Where rlemasklib is installed (the extra `fast`), it goes over the pixels; what is read and checked stays here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask

try:
    from rlemasklib import RLEMask
except ImportError:
    RLEMask = None

Integers = NDArray[np.int64]
_MAX_PIXELS = 2**32 - 1  # pycocotools keeps run lengths in 32 bits
_MAX_GROUPS = 7  # a difference of two such lengths


@dataclass(frozen=True)
class RLE:
    """A binary mask in COCO's compressed run-length code (column-major).

    Attributes:
        size: (height, width).
        counts: the code, ASCII.
    """

    size: tuple[int, int]
    counts: str

    def decode(self) -> BoolMask:
        """The mask's pixels, bool (H, W); see wordmask.rle.decode."""
        return decode(self)


def encode(mask: BoolMask) -> RLE:
    """Encodes a mask.

    Args:
        mask: bool (H, W).

    Returns:
        The code, identical to pycocotools.mask.encode.
    """
    return encode_box(mask, 0, 0, (mask.shape[0], mask.shape[1]))


def encode_box(mask: BoolMask, x0: int, y0: int, size: tuple[int, int]) -> RLE:
    """Encodes a mask that is known inside a box and empty outside it, without building the whole.

    Args:
        mask: bool (h, w), the inside of the box.
        x0: column of the photo where the box begins.
        y0: row of the photo where the box begins.
        size: (H, W) of the photo.

    Returns:
        The code of the whole (H, W) mask.

    Raises:
        ValueError: the box does not lie inside the photo.
    """
    height, width = size
    if x0 < 0 or y0 < 0 or y0 + mask.shape[0] > height or x0 + mask.shape[1] > width:
        raise ValueError(f"a box of shape {mask.shape} at x={x0}, y={y0} does not fit into a photo of {height}x{width}")
    if RLEMask is not None and mask.size > 0 and height * width <= _MAX_PIXELS:
        rest = (y0, height - y0 - mask.shape[0], x0, width - x0 - mask.shape[1])  # above, below, left, right
        return RLE(
            (height, width), RLEMask.from_array(np.ascontiguousarray(mask)).pad(*rest).to_dict()["counts"].decode()
        )
    edges = _edges(mask, x0, y0, height)
    inner = edges[1:-1].reshape(-1, 2)  # the end of a run and the start of the next one
    # A run that reaches the bottom goes on at the top of the next column.
    edges = np.concatenate((edges[:1], inner[inner[:, 0] != inner[:, 1]].ravel(), edges[-1:]))
    lengths = np.diff(edges, prepend=0, append=height * width)
    if edges.size and edges[-1] == height * width:
        lengths = lengths[:-1]
    return RLE((height, width), _to_string(lengths))


def decode(rle: RLE) -> BoolMask:
    """Decodes a mask.

    Returns:
        bool (H, W), C-contiguous.

    Raises:
        ValueError: the code is malformed, or does not fill its size.
    """
    return decode_box(rle, (0, 0, rle.size[1], rle.size[0]))


def decode_box(rle: RLE, box: tuple[int, int, int, int]) -> BoolMask:
    """Decodes the inside of a box; the cost follows the box's columns.

    Args:
        rle: the code.
        box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive.

    Returns:
        bool (y1 - y0, x1 - x0), C-contiguous.

    Raises:
        ValueError: the code is malformed or does not fill its size, or the box does not lie inside the mask.
    """
    lengths = _lengths(rle)
    height, width = rle.size
    x0, y0, x1, y1 = box
    if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
        raise ValueError(f"the box {box} does not lie inside a mask of {height}x{width}")
    if RLEMask is not None and x0 < x1 and y0 < y1:
        inside = RLEMask.from_counts(lengths.astype(np.uint32), rle.size).crop((x0, y0, x1 - x0, y1 - y0))
        found: BoolMask = inside.to_array(order="C").view(np.bool_)
        return found
    ends = np.clip(np.cumsum(lengths), x0 * height, x1 * height)
    values = np.arange(ends.size) % 2 == 1
    columns = np.repeat(values, np.diff(ends, prepend=x0 * height)).reshape(x1 - x0, height)  # (box width, H)
    return np.ascontiguousarray(columns[:, y0:y1].T)  # (box height, box width)


def area(rle: RLE) -> int:
    """Pixels of the mask, from the code alone.

    Raises:
        ValueError: the code is malformed, or does not fill its size.
    """
    return int(_lengths(rle)[1::2].sum())


def _edges(mask: BoolMask, x0: int, y0: int, height: int) -> Integers:
    """Column-major positions in the photo where runs start, end, start, end, ...; each column by itself."""
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1]), dtype=np.bool_)
    padded[1:-1] = mask
    changes = np.flatnonzero(padded[1:] != padded[:-1])  # row r of the comparison: do pixels r-1 and r differ
    rows, columns = np.divmod(changes, max(mask.shape[1], 1))
    # Sorting the few edges is cheaper than transposing the mask, unless it is noise.
    return np.sort((columns + x0) * height + rows + y0)


def _to_string(lengths: Integers) -> str:
    numbers = lengths.copy()
    numbers[3:] -= lengths[1:-2]
    most = max(int(numbers.max()), -int(numbers.min()) - 1)
    shifts = 5 * np.arange(most.bit_length() // 5 + 1)
    groups = numbers[:, None] >> shifts  # (runs, groups), arithmetic shift
    last = (groups >= -16) & (groups < 16)  # what is left is only the sign
    kept: BoolMask = np.cumsum(last, axis=1) - last == 0
    codes = (groups & 31) + 32 * ~last + 48
    return codes[kept].astype(np.uint8).tobytes().decode("ascii")


def _lengths(rle: RLE) -> Integers:
    """The run lengths of a code, checked against its size."""
    height, width = rle.size
    if height < 0 or width < 0 or height * width > _MAX_PIXELS:
        raise ValueError(f"the mask's size is {height}x{width}: sides must be >= 0, with at most {_MAX_PIXELS} pixels")
    lengths = _from_string(rle.counts)
    if lengths.min() < 0:
        raise ValueError("the run-length code has a run of negative length")
    if lengths.max() > _MAX_PIXELS:  # before summing, which could overflow
        raise ValueError(f"the run-length code has a run of {lengths.max()} pixels, the mask has {height}x{width}")
    if lengths.sum() != height * width:
        raise ValueError(f"the runs cover {lengths.sum()} pixels, the mask has {height}x{width} = {height * width}")
    return lengths


def _from_string(counts: str) -> Integers:
    if not counts:
        raise ValueError("the run-length code is empty: even an empty mask has one run")
    if not counts.isascii() or min(counts) < "0" or max(counts) > "o":
        raise ValueError("the run-length code has a character outside '0' to 'o'")
    codes = np.frombuffer(counts.encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(codes < 32)
    if ends.size == 0 or ends[-1] != codes.size - 1:
        raise ValueError("the run-length code is cut short: its last character announces another one")
    starts = np.concatenate(([0], ends[:-1] + 1))
    groups = ends - starts + 1
    if groups.max() > _MAX_GROUPS:
        raise ValueError(f"the run-length code has a number of {groups.max()} characters: at most {_MAX_GROUPS}")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, groups))
    numbers = np.add.reduceat((codes & 31) << shifts, starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << (5 * groups), 0)
    lengths = numbers.copy()
    lengths[1::2] = np.cumsum(numbers[1::2])
    lengths[2::2] = np.cumsum(numbers[2::2])
    return lengths
