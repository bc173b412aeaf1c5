"""Masks as polygons through the centres of their outermost pixels, for readers that also paint the line itself.

That is what cv2.fillPoly and Pillow's ImageDraw do with whole numbers, and what cv2.findContours gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask

Points = NDArray[np.int64]  # (n, 2), columns and rows of pixels; the last is joined to the first
_AT_ONCE = 1 << 20  # distances held in memory


@dataclass(frozen=True, eq=False)
class Part:
    """An 8-connected part of a mask.

    Attributes:
        exterior: its outermost pixels, all of them.
        holes: the pixels around each hole.
    """

    exterior: Points
    holes: tuple[Points, ...]


def contours(mask: BoolMask, offset: tuple[int, int]) -> list[Part]:
    """The parts of a mask.

    Args:
        mask: bool (h, w).
        offset: x and y of its first pixel in the photo.
    """
    found, tree = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=offset)
    rings = [contour.reshape(-1, 2).astype(np.int64) for contour in found]
    parents = tree[0, :, 3].tolist() if rings else []
    holes: dict[int, list[Points]] = {}
    for ring, parent in zip(rings, parents, strict=True):
        holes.setdefault(parent, []).append(ring)
    return [Part(ring, tuple(holes.get(i, ()))) for i, ring in enumerate(rings) if parents[i] < 0]


def simplified(ring: Points) -> Points:
    """Removes the points inside straight lines."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    corners = (before != after).any(axis=1)
    return ring[corners] if corners.any() else ring


def joined(parts: Sequence[Part]) -> Points:
    """One ring around all parts and holes, joined by bridges of no width, each to the nearest remaining ring.

    The pixels of a bridge to a hole are in the mask; those of a bridge between parts are painted in addition.
    """
    first, *rest = [ring for part in parts for ring in (part.exterior, *part.holes)]
    path = first
    if not rest:
        return path
    points = np.concatenate(rest)
    of_ring = np.repeat(np.arange(len(rest)), [len(ring) for ring in rest])
    starts = np.searchsorted(of_ring, np.arange(len(rest)))
    nearest, distance = _nearest(points, path)
    while True:
        closest = int(np.argmin(distance))
        number = int(of_ring[closest])
        ring, begin = rest[number], closest - int(starts[number])
        pier = int(np.flatnonzero((path == nearest[closest]).all(axis=1))[0])
        there_and_back = np.roll(ring, -begin, axis=0), ring[begin : begin + 1]
        path = np.concatenate((path[: pier + 1], *there_and_back, path[pier:]))
        distance[of_ring == number] = np.inf
        left = np.flatnonzero(np.isfinite(distance))
        if not left.size:
            return path
        candidates, nearer = _nearest(points[left], ring)
        better = nearer < distance[left]
        distance[left[better]], nearest[left[better]] = nearer[better], candidates[better]


def _nearest(points: Points, targets: Points) -> tuple[Points, NDArray[np.float32]]:
    """The nearest target of each point, and the squared distance."""
    found = np.empty_like(points)
    distance = np.empty(len(points), dtype=np.float32)
    rows = max(1, _AT_ONCE // len(targets))
    x, y = targets.T.astype(np.float32)
    for start in range(0, len(points), rows):
        some = points[start : start + rows].astype(np.float32)
        squares = (some[:, :1] - x) ** 2 + (some[:, 1:] - y) ** 2  # (rows, targets)
        best = squares.argmin(axis=1)
        found[start : start + rows] = targets[best]
        distance[start : start + rows] = squares[np.arange(len(some)), best]
    return found, distance
