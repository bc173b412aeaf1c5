"""Seams: whether a class map is wrong more often near the borders of CLIP's windows than elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wordmask.bundle.manifest import Clip
from wordmask.dense.windows import resized_size, window_starts
from wordmask_bench.quality.metrics import Labels

NEAR = 4  # pixels of the photo as CLIP sees it


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


@dataclass
class SeamTally:
    """Counts of pixels and of wrong ones: i64 (elsewhere, near a window's border)."""

    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))
    wrong: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    def add(self, true: Labels, found: Labels, near: NDArray[np.bool_]) -> None:
        """Adds a photo's class maps (H, W); see near_borders."""
        kind = near.astype(np.int64).ravel()
        self.pixels += np.bincount(kind, minlength=2)
        self.wrong += np.bincount(kind[(true != found).ravel()], minlength=2)

    def ratio(self) -> float:
        """The error rate near borders divided by that elsewhere; nan where there is no border or no error elsewhere."""
        if not self.pixels.all() or not self.wrong[0]:
            return float("nan")
        rates = self.wrong / self.pixels
        return float(rates[1] / rates[0])
