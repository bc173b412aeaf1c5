"""Finds the pixels whose class the bilinear map leaves undecided, where LoftUp is worth its time.

Far from every border, and where one class has a large margin, bilinear upsampling and LoftUp give the same class.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from wordmask.arrays import BoolMask, Floats
from wordmask.dense.similarities import BasisProjection, Similarities


def undecided(
    logits: Floats,
    class_starts: Sequence[int],
    logit_scale: float,
    *,
    margin: float,
    border: int,
    projection: BasisProjection | None = None,
) -> BoolMask:
    """The pixels that a finer map may decide otherwise.

    Args:
        logits: f32 (C, H, W), cosine similarity with each word, upsampled bilinearly; or, with `projection`, with
            a basis of their space.
        class_starts: index of each class's first word.
        logit_scale: multiplies the similarities.
        margin: logits by which the best class must lead the second to count as decided.
        border: pixels around a border between classes that count as undecided.
        projection: see wordmask.dense.similarities.

    Returns:
        bool (H, W).
    """
    found = Similarities(logits, projection)
    close = np.zeros(logits.shape[1:], np.bool_)
    if len(class_starts) == 1:
        return close
    index = np.empty(close.shape, np.float32)
    for rows in found.bands():
        part = found.part(rows, slice(None))
        classes = np.maximum.reduceat(part, class_starts, axis=0) if len(class_starts) < found.words else part.copy()
        winner = classes.argmax(axis=0, keepdims=True)
        first = np.take_along_axis(classes, winner, axis=0)[0]
        np.put_along_axis(classes, winner, -np.inf, axis=0)
        close[rows] = (first - classes.max(axis=0)) * np.float32(logit_scale) < margin
        index[rows] = winner[0]
    square = np.ones((2 * border + 1, 2 * border + 1), np.uint8)
    mixed = cv2.dilate(index, square) != cv2.erode(index, square)
    result: BoolMask = close | mixed
    return result
