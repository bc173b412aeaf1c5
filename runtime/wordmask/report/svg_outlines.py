"""Masks as outlines: small enough for a thousand photos in one page, and sharp at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import rle
from wordmask.rle import RLE

GRID = 2000  # units along a photo's longer side, in which outlines are drawn
TOLERANCE = 1.2  # units that an outline may be off, or STEP if that is more
STEP = 0.6  # pixels: a slanting border is not drawn as stairs
MOST_POINTS = 800  # of a mask: a ragged one is drawn more roughly
_COARSER = (1, 2, 4, 8)  # times the tolerance
_FINE = 1000  # pixels; smaller photos are enlarged, so that the half pixel an outline runs inside its mask is not seen

Contour = NDArray[np.int32]  # (P, 2), x and y in units of the grid


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid over a photo of this height and width."""
    scale = GRID / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def outline(mask: RLE, box: tuple[int, int, int, int]) -> list[Contour]:
    """The borders of a mask's parts and of their holes; filled by the even-odd rule they are the mask, nearly.

    Args:
        mask: over a whole photo.
        box: x0, y0, x1, y1 around it in pixels of the photo, x1 and y1 exclusive.
    """
    scale, finer = GRID / max(mask.size), math.ceil(_FINE / max(mask.size))
    inside = rle.decode_box(mask, box).astype(np.uint8)
    if finer > 1:
        inside = inside.repeat(finer, axis=0).repeat(finer, axis=1)
    found, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    points = _simpler([np.asarray(each, np.int32) for each in found], max(TOLERANCE / scale, STEP) * finer)
    contours = [np.rint(((each + 0.5) / finer + box[:2]) * scale).astype(np.int32) for each in points]
    if not contours:  # specks alone
        (x0, y0), (x1, y1) = np.rint(np.reshape(box, (2, 2)) * scale).astype(int).tolist()
        contours = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.int32)]
    return contours


def _simpler(found: Sequence[NDArray[np.int32]], tolerance: float) -> list[NDArray[np.int32]]:
    """Contours (P, 1, 2) as polygons (P, 2) of MOST_POINTS together, as exact as that allows; the least are dropped."""
    polygons: list[NDArray[np.int32]] = []
    for coarser in _COARSER:
        simpler = (cv2.approxPolyDP(contour, tolerance * coarser, closed=True)[:, 0] for contour in found)
        polygons = [np.asarray(polygon, np.int32) for polygon in simpler if len(polygon) > 2]
        if sum(map(len, polygons)) <= MOST_POINTS:
            return polygons
    polygons.sort(key=lambda polygon: -cv2.contourArea(polygon))
    lengths = np.cumsum([len(polygon) for polygon in polygons])
    return polygons[: max(1, int(np.searchsorted(lengths, MOST_POINTS, side="right")))]


def svg_path(contours: Sequence[Contour]) -> str:
    """Contours as the d of an SVG path, in relative steps."""
    parts = []
    for contour in contours:
        x, y = contour[0].tolist()
        steps = " ".join(map(str, np.diff(contour, axis=0).ravel().tolist()))
        parts.append(f"M{x} {y}l{steps.replace(' -', '-')}z")
    return "".join(parts)
