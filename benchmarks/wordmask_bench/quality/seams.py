"""Seams: whether a class map is wrong more often near the borders of CLIP's windows than elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask.bundle.manifest import Clip
from wordmask.dense.windows import resized_size, window_starts
from wordmask_bench.quality.metrics import Labels, boundary

NEAR = 4  # pixels of the photo as CLIP sees it
OUTLINE = 3  # pixels on either side of an outline


def near_borders(size: tuple[int, int], constants: Clip, distance: float = NEAR) -> NDArray[np.bool_]:
    """The pixels of a photo that lie near a border of a window, where that border runs within the photo.

    Args:
        size: height and width of the photo.
        constants: the bundle's, with the stride that is used.
        distance: between a pixel's centre and the border, at most, in pixels of the photo as CLIP sees it.

    Returns:
        bool (H, W).
    """
    rows, columns = (
        _near_along(length, seen, constants, distance)
        for length, seen in zip(size, resized_size(size, constants), strict=True)
    )
    near: NDArray[np.bool_] = rows[:, None] | columns
    return near


def _near_along(length: int, seen: int, constants: Clip, distance: float) -> NDArray[np.bool_]:
    """The same along one side: of `length` pixels, which CLIP sees as `seen` pixels."""
    starts = window_starts(seen, constants.window, constants.stride)
    borders = [border for start in starts for border in (start, start + constants.window) if 0 < border < seen]
    centres = (np.arange(length) + 0.5) * (seen / length)
    near: NDArray[np.bool_] = (np.abs(centres[:, None] - np.array(borders)) <= distance).any(axis=1)
    return near


class SeamTally:
    """Counts of pixels and of wrong ones, elsewhere and near a window's border, by class and by nearness to an outline.

    Borders run through the midst of a photo, where more objects lie than at its rim, and pixels near outlines are wrong
    more often than others. So the error rate near borders is compared twice: with the rate elsewhere, and with what it
    would be if the pixels near borders, of each class near outlines and away from them, were wrong as often as such
    pixels elsewhere (direct standardisation).

    Attributes:
        pixels: i64 (2, C, 2): elsewhere and near a border; classes; away from outlines and near one.
        wrong: the same of the pixels whose class is not found.
    """

    def __init__(self, classes: int) -> None:
        self.pixels = np.zeros((2, classes, 2), np.int64)
        self.wrong = np.zeros_like(self.pixels)

    def add(self, true: Labels, found: Labels, near: NDArray[np.bool_]) -> None:
        """Adds a photo's class maps (H, W); see near_borders. Pixels whose true value is no class are not counted."""
        classes = self.pixels.shape[1]
        counted = (true >= 0) & (true < classes)
        group = ((near.astype(np.int64) * classes + true) * 2 + boundary(true, OUTLINE))[counted]
        self.pixels += self._count(group)
        self.wrong += self._count(group[(true != found)[counted]])

    def _count(self, group: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(group, minlength=self.pixels.size).reshape(self.pixels.shape)

    def ratio(self) -> float:
        """The error rate near borders divided by that elsewhere; nan where there is no border or no error elsewhere."""
        pixels, wrong = self.pixels.sum((1, 2)), self.wrong.sum((1, 2))
        if not pixels.all() or not wrong[0]:
            return float("nan")
        return float(wrong[1] / pixels[1] / (wrong[0] / pixels[0]))

    def adjusted(self) -> float:
        """The errors near borders divided by those that such pixels have elsewhere; nan as for `ratio`."""
        known = self.pixels[0] > 0
        expected = (self.pixels[1] * self.wrong[0] / np.maximum(self.pixels[0], 1))[known].sum()
        return float(self.wrong[1][known].sum() / expected) if expected else float("nan")
