"""Rasterises outlines: scales and rotates them, and computes how much of each pixel they cover."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.shapes import Outline

_SUPERSAMPLING = 4  # coverage is counted on a grid that is finer by this factor
_SUBPIXEL_BITS = 6


def place(outline: Outline, extent: float, rotation: float, aspect: float) -> Outline:
    """Squeezes, rotates and scales an outline to a box with the given longer side whose corner is the origin.

    Args:
        outline: contours.
        extent: longer side of the box, in pixels.
        rotation: radians.
        aspect: the height is multiplied by this before the rotation.

    Returns:
        Contours in pixels, x and y >= 0.
    """
    cos, sin = np.cos(rotation), np.sin(rotation)
    turn = np.array([[cos, sin], [-sin * aspect, cos * aspect]])
    turned = [contour @ turn for contour in outline]
    low, high = np.min(turned[0], axis=0), np.max(turned[0], axis=0)
    scale = extent / max(high - low)
    return [(contour - low) * scale for contour in turned]


def coverage(outline: Outline) -> NDArray[np.uint8]:
    """The share of each pixel that an outline covers.

    Args:
        outline: contours in pixels, x and y >= 0; a pixel spans from i to i + 1.

    Returns:
        u8 (h, w), 255 for a whole pixel; as large as the outline's box.
    """
    width, height = np.ceil(outline[0].max(axis=0) - 1e-6).astype(int)
    fine = np.zeros((height * _SUPERSAMPLING, width * _SUPERSAMPLING), dtype=np.uint8)
    factor = _SUPERSAMPLING << _SUBPIXEL_BITS
    fixed = [np.rint(c * factor - (1 << _SUBPIXEL_BITS) / 2).astype(np.int32) for c in outline]
    cv2.fillPoly(fine, fixed, (255,), shift=_SUBPIXEL_BITS)
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
