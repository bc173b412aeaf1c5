"""Smooth class maps and masks that replace the noise of random weights.

Extracting prompts, upsampling masks, dropping duplicates and encoding take several times longer for noise than for the
regions and masks of trained weights. On a GPU that would be most of a photo's time on every side. Each side computes
its own class map and masks, and then continues with these.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wordmask import resize
from wordmask.arrays import BoolMask, Floats
from wordmask_bench.speed.side import grid_prompts

Size = tuple[int, int]


@lru_cache(maxsize=4)
def smooth_class_map(size: Size, points: int, classes: int) -> tuple[NDArray[np.int64], Floats]:
    """Class i64 (H, W) of the nearest point of the grid, and a confidence f32 (H, W) that falls with the distance.

    Args:
        size: height H and width W of the photo.
        points: of the grid, see grid_prompts.
        classes: of the vocabulary.
    """
    height, width = size
    rows, columns = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
    nearest, index = np.full(size, np.inf, np.float32), np.zeros(size, np.int64)
    for prompt in grid_prompts(size, points, classes):
        x, y = prompt.points[0]
        distance = np.hypot(columns - x, rows - y)
        closer = distance < nearest
        nearest[closer], index[closer] = distance[closer], prompt.class_index
    return index, np.asarray(1 - nearest / (2 * math.hypot(*size)), np.float32)


@lru_cache(maxsize=4)
def smooth_logits(size: Size, points: int, side: int) -> Floats:
    """Low-resolution logits as SAM2's, f32 (points, side, side): one blob around each point of the grid."""
    height, width = size
    rows, columns = (np.arange(side, dtype=np.float32) + 0.5) * height / side, (np.arange(side) + 0.5) * width / side
    radius = 0.6 * math.sqrt(height * width / points)
    blobs = []
    for number, prompt in enumerate(grid_prompts(size, points, 1)):
        x, y = prompt.points[0]
        dy, dx = rows[:, None] - y, columns[None, :] - x
        outline = radius * (1 + 0.2 * np.sin((2 + number % 5) * np.arctan2(dy, dx)))
        blobs.append(8 * (1 - np.hypot(dy, dx) / outline))
    return np.stack(blobs).astype(np.float32)


@lru_cache(maxsize=4)
def smooth_masks(size: Size, points: int, side: int, threshold: float) -> BoolMask:
    """The masks of smooth_logits at the photo's size, bool (points, H, W)."""
    logits = smooth_logits(size, points, side)
    return np.stack([resize.bilinear(mask, size) > threshold for mask in logits])
