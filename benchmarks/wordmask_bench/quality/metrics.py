"""Confusion counts, IoU, outlines and small objects."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.integer]
SMALL = 24  # pixels: an object is small if both sides of its box are shorter


class Confusion:
    """Confusion matrix over any number of images.

    Attributes:
        counts: i64 (C, C + 1), true by predicted class; the last column is "no class".
    """

    def __init__(self, classes: int) -> None:
        self.counts = np.zeros((classes, classes + 1), np.int64)

    def add(self, true: Labels, found: Labels, where: NDArray[np.bool_] | None = None) -> None:
        """Counts pixels.

        Args:
            true: (H, W), class 0 to C - 1; pixels of another value are not counted.
            found: (H, W), class 0 to C - 1, or C for no class.
            where: bool (H, W), the pixels to count; None counts all.
        """
        classes, columns = self.counts.shape
        counted = (true >= 0) & (true < classes)
        if where is not None:
            counted &= where
        pairs = true[counted].astype(np.int64) * columns + found[counted]
        self.counts += np.bincount(pairs, minlength=self.counts.size).reshape(self.counts.shape)

    def iou(self, *, punish_absent: bool = False) -> NDArray[np.float64]:
        """IoU of each class, f64 (C,); nan if the class does not occur.

        With punish_absent, a class that was found but does not occur has the IoU 0, as in mmsegmentation.
        """
        right = np.diagonal(self.counts).astype(np.float64)
        true, found = self.counts.sum(1), self.counts.sum(0)[:-1]
        counted = true + found > 0 if punish_absent else true > 0
        return np.where(counted, right / np.maximum(true + found - right, 1), np.nan)

    def accuracy(self) -> float:
        """Share of the pixels whose class is right."""
        return float(np.trace(self.counts) / max(self.counts.sum(), 1))


def mean(values: NDArray[np.float64]) -> float:
    """Mean of the values that are not nan; nan if all are."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def without_nan(value: Any) -> Any:
    """Replaces nan by None, also in nested dicts, because JSON has no nan."""
    if isinstance(value, dict):
        return {name: without_nan(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def boundary(labels: Labels, width: int) -> NDArray[np.bool_]:
    """Pixels within `width` of another label, counted along rows, columns and diagonals: bool (H, W)."""
    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    plane = labels.astype(np.uint16)
    different: NDArray[np.bool_] = cv2.dilate(plane, kernel) != cv2.erode(plane, kernel)
    return different


def outline(labels: Labels, width: int) -> NDArray[np.bool_]:
    """Pixels within `width` of another label or of the image's edge: bool (H, W).

    For each label these are the pixels that boundary_iou_api's mask_to_boundary gives for its mask.
    """
    beyond = np.iinfo(np.uint16).max  # a value that no label has
    return boundary(np.pad(labels.astype(np.uint16), 1, constant_values=beyond), width)[1:-1, 1:-1]


def is_small(box: tuple[int, int, int, int]) -> bool:
    """Whether an object with this box (x0, y0, x1, y1, exclusive ends) counts as small."""
    x0, y0, x1, y1 = box
    return max(x1 - x0, y1 - y0) < SMALL


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """IoU of two masks; 0 where both are empty."""
    return int(np.count_nonzero(one & other)) / max(int(np.count_nonzero(one | other)), 1)


def deepest_point(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Centre (x, y) of the mask's pixel that is farthest from its outline; the image's edge counts as outline."""
    depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5
