"""From the windows' similarities to one class map of the photo, by SCLIP's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.resize import bilinear
from wordmask.types import Floats

STRIP_VALUES = 4_000_000  # probabilities held at once


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The most probable class of every pixel of a photo (H, W).

    Attributes:
        index: i32 (H, W), into the classes.
        confidence: f32 (H, W), that class's probability.
        best: f32 (classes,), each class's highest probability at any pixel.
    """

    index: NDArray[np.int32]
    confidence: Floats
    best: Floats


def stitch(tiles: Floats, corners: Sequence[tuple[int, int]], size: tuple[int, int]) -> Floats:
    """Averages windows where they overlap.

    Args:
        tiles: f32 (N, C, S, S).
        corners: (y, x) of each window's top left.
        size: height and width of the resized photo; what a window has beyond it is cropped.

    Returns:
        f32 (C, height, width).
    """
    height, width = size
    side = tiles.shape[2]
    total = np.zeros((tiles.shape[1], height, width), np.float32)
    count = np.zeros((height, width), np.float32)
    for tile, (y, x) in zip(tiles, corners, strict=True):
        total[:, y : y + side, x : x + side] += tile[:, : height - y, : width - x]
        count[y : y + side, x : x + side] += 1
    total /= count
    return total


def classify(logits: Floats, class_starts: Sequence[int], size: tuple[int, int], logit_scale: float) -> ClassMap:
    """Similarities to the photo's resolution, softmax over all words, then the most probable class.

    Args:
        logits: f32 (Q, h, w), cosine similarity of each word.
        class_starts: index of each class's first word; a class's probability is that of its likeliest synonym.
        size: height and width of the photo.
        logit_scale: multiplies the similarities.
    """
    height, width = size
    index, confidence = np.empty(size, np.int32), np.empty(size, np.float32)
    best = np.zeros(len(class_starts), np.float32)
    rows = max(1, STRIP_VALUES // (len(logits) * width))
    for start in range(0, height, rows):
        strip = slice(start, min(start + rows, height))
        scaled = bilinear(logits, size, rows=strip) * np.float32(logit_scale)  # (Q, rows, W)
        scaled -= scaled.max(axis=0)
        np.exp(scaled, out=scaled)
        total = scaled.sum(axis=0)
        if len(class_starts) < len(scaled):
            scaled = np.maximum.reduceat(scaled, class_starts, axis=0)
        scaled /= total
        index[strip] = scaled.argmax(axis=0)
        confidence[strip] = scaled.max(axis=0)
        np.maximum(best, scaled.max(axis=(1, 2)), out=best)
    return ClassMap(index, confidence, best)
