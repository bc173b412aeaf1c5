"""Masks as outlines: small enough for a thousand photos in one page, and sharp at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import rle
from wordmask.types import RLE

GRID = 2000  # units along a photo's longer side, in which outlines are drawn
TOLERANCE = 1.2  # units that an outline may be off, or STEP if that is more
STEP = 0.6  # pixels: a slanting border is not drawn as stairs
_FINE = 1000  # pixels; smaller photos are enlarged, so that the half pixel an outline runs inside its mask is not seen

Contour = NDArray[np.int32]  # (P, 2), x and y in units of the grid


def grid_size(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the grid over a photo of this height and width."""
    scale = GRID / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def outline(mask: RLE, box: tuple[int, int, int, int]) -> list[Contour]:
    """The borders of a mask's parts and of their holes; filled by the even-odd rule they are the mask.

    Args:
        mask: over a whole photo.
        box: x0, y0, x1, y1 around it in pixels of the photo, x1 and y1 exclusive.
    """
    scale, finer = GRID / max(mask.size), math.ceil(_FINE / max(mask.size))
    tolerance = max(TOLERANCE / scale, STEP)
    inside = rle.decode_box(mask, box).astype(np.uint8)
    if finer > 1:
        inside = inside.repeat(finer, axis=0).repeat(finer, axis=1)
    found, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    simpler = (cv2.approxPolyDP(contour, tolerance * finer, closed=True)[:, 0] for contour in found)
    placed = (((points + 0.5) / finer + box[:2]) * scale for points in simpler if len(points) > 2)
    contours = [np.rint(points).astype(np.int32) for points in placed]
    if not contours:  # specks alone
        (x0, y0), (x1, y1) = np.rint(np.reshape(box, (2, 2)) * scale).astype(int).tolist()
        contours = [np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], np.int32)]
    return contours


def svg_path(contours: Sequence[Contour]) -> str:
    """Contours as the d of an SVG path, in relative steps."""
    parts = []
    for contour in contours:
        x, y = contour[0].tolist()
        steps = " ".join(map(str, np.diff(contour, axis=0).ravel().tolist()))
        parts.append(f"M{x} {y}l{steps.replace(' -', '-')}z")
    return "".join(parts)
