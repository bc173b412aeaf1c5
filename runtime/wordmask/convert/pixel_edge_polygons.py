"""Masks as polygons along the edges of their pixels: exact for readers that fill by pixel centres."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask

Ring = NDArray[np.int64]  # (n, 2), x and y of the corners; the last is joined to the first


@dataclass(frozen=True, eq=False)
class Polygon:
    """A 4-connected part of a mask.

    Attributes:
        exterior: the outline; with x to the right and y upwards it runs counterclockwise (RFC 7946).
        holes: outlines of what is left out; they run the other way. Rings may touch each other in corners, none itself.
    """

    exterior: Ring
    holes: tuple[Ring, ...]


@dataclass(frozen=True, eq=False)
class _Sides:
    """Straight segments of outlines; the mask lies to the right of each (y points down).

    Attributes:
        starts, ends: i64 (n, 2), x and y.
        ahead: bool (n,), whether they go to larger x or y.
    """

    starts: Ring
    ends: Ring
    ahead: BoolMask


def outlines(mask: BoolMask) -> list[Polygon]:
    """The polygons of a mask, in pixels: the pixel in row r, column c covers x from c to c + 1 and y from r to r + 1.

    Args:
        mask: bool (H, W).
    """
    _, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    exteriors: dict[int, Ring] = {}
    holes: dict[int, list[Ring]] = {}
    for ring in _rings(mask):
        part = int(parts[_pixel_beside(ring)])
        if _doubled_area(ring) > 0:
            exteriors[part] = ring
        else:
            holes.setdefault(part, []).append(ring)
    return [Polygon(exteriors[part], tuple(holes.get(part, ()))) for part in sorted(exteriors)]


def _rings(mask: BoolMask) -> Iterator[Ring]:
    """All outlines, each visiting a corner once."""
    padded = np.pad(mask, 1).astype(np.int8)
    flat = _sides(padded[1:, 1:-1] - padded[:-1, 1:-1])  # a pixel below: to the right
    upright = _sides((padded[1:-1, :-1] - padded[1:-1, 1:]).T)  # a pixel to the left: down
    upright = _Sides(upright.starts[:, ::-1], upright.ends[:, ::-1], upright.ahead)
    # A right turn goes around the same pixel, so that pixels that share only a corner stay apart.
    stride = mask.shape[1] + 1
    after_flat = _next(flat, upright, stride, same_on_right=True)
    after_upright = _next(upright, flat, stride, same_on_right=False)
    onwards = after_upright[after_flat].tolist()
    seen = bytearray(len(onwards))
    for first in range(len(onwards)):
        chain, side = [], first
        while not seen[side]:
            seen[side] = 1
            chain.append(side)
            side = onwards[side]
        if chain:
            corners = np.stack((flat.starts[chain], flat.ends[chain]), axis=1).reshape(-1, 2)  # (2 * sides, 2)
            yield from _without_touching(corners)


def _sides(signs: NDArray[np.int8]) -> _Sides:
    """Runs of equal signs along the rows: 1 goes to larger x, -1 to smaller x."""
    padded = np.pad(signs, ((0, 0), (1, 1)))
    change = padded[:, 1:] != padded[:, :-1]  # whether the pixels left and right of corner x differ
    rows, begins = np.nonzero(change & (padded[:, 1:] != 0))
    _, ends = np.nonzero(change & (padded[:, :-1] != 0))
    ahead: BoolMask = padded[rows, begins + 1] > 0
    return _Sides(
        np.stack((np.where(ahead, begins, ends), rows), axis=1),
        np.stack((np.where(ahead, ends, begins), rows), axis=1),
        ahead,
    )


def _next(sides: _Sides, others: _Sides, stride: int, *, same_on_right: bool) -> NDArray[np.int64]:
    """Which of the others begins where each side ends; where two do, the one to the right.

    Args:
        sides: upright, or flat.
        others: the other ones.
        stride: corners a row.
        same_on_right: a side that goes ahead turns right into one that goes ahead (right, then down).
    """
    keys = 2 * (others.starts[:, 1] * stride + others.starts[:, 0]) + others.ahead
    order = np.argsort(keys)
    keys = keys[order]
    corners = 2 * (sides.ends[:, 1] * stride + sides.ends[:, 0])
    rightwards = sides.ahead == same_on_right
    right = np.searchsorted(keys, corners + rightwards)
    found = keys[np.minimum(right, len(keys) - 1)] == corners + rightwards
    left = np.searchsorted(keys, corners + ~rightwards)
    following: NDArray[np.int64] = order[np.where(found, right, left)]
    return following


def _without_touching(corners: Ring) -> Iterator[Ring]:
    """Splits a ring where it comes back to a corner."""
    path: list[tuple[int, int]] = []
    place: dict[tuple[int, int], int] = {}
    for x, y in corners.tolist():
        corner = (x, y)
        if corner in place:
            loop = path[place[corner] :]
            del path[place[corner] :]
            for passed in loop:
                del place[passed]
            yield np.array(loop, dtype=np.int64)
        place[corner] = len(path)
        path.append(corner)
    yield np.array(path, dtype=np.int64)


def _pixel_beside(ring: Ring) -> tuple[int, int]:
    """Row and column of a pixel inside, next to the ring's first side."""
    (x, y), (next_x, next_y) = ring[:2].tolist()
    return (y if next_x > x or next_y > y else y - 1), (x if next_x > x or next_y < y else x - 1)


def _doubled_area(ring: Ring) -> int:
    x, y = ring.T
    return int(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
