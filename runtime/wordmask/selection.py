"""Where LoftUp matters: pixels whose class the bilinear map leaves open.

Far from every border, with one class well ahead, upsampling bilinearly and by LoftUp name the same class; LoftUp's work
is worth its price along outlines and where classes compete.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from wordmask.types import BoolMask, Floats


def undecided(
    logits: Floats, class_starts: Sequence[int], logit_scale: float, *, margin: float, border: int
) -> BoolMask:
    """The pixels that a finer map may decide otherwise.

    Args:
        logits: f32 (Q, H, W), cosine similarity of each word, upsampled bilinearly.
        class_starts: index of each class's first word.
        logit_scale: multiplies the similarities.
        margin: logits by which the best class must lead the second to count as decided.
        border: pixels around a border between classes that count as undecided.

    Returns:
        bool (H, W).
    """
    classes = np.maximum.reduceat(logits, class_starts, axis=0) if len(class_starts) < len(logits) else logits
    if len(classes) == 1:
        return np.zeros(logits.shape[1:], np.bool_)
    second, first = np.partition(classes, -2, axis=0)[-2:]
    close = (first - second) * np.float32(logit_scale) < margin
    index = classes.argmax(axis=0).astype(np.float32)
    square = np.ones((2 * border + 1, 2 * border + 1), np.uint8)
    mixed = cv2.dilate(index, square) != cv2.erode(index, square)
    result: BoolMask = close | mixed
    return result
