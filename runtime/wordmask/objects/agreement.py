"""Checks SAM2's masks against the class map that asked for them.

One click is ambiguous: SAM2 may answer with a part, with the object, with what lies behind, or with other objects of
the same look. The class map says where the word is. So of each mask only the pieces that the prompt's points touch are
kept, and a mask is judged by how probable its word is over its pixels. Both work on the decoder's low-resolution grid,
where 32 masks take a few milliseconds whatever the size of the photo.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.types import Prompt

REMOVED = 10.0  # below the threshold, as SAM2Transforms.postprocess_masks (max_sprinkle_area) sets what it removes
INSIDE = 1  # the label of a positive point


def keep_prompted_pieces(
    low_res: Floats, prompts: Sequence[Prompt], size: tuple[int, int], *, mask_threshold: float
) -> Floats:
    """Removes the 8-connected pieces of each mask that no positive point of its prompt touches.

    Another object of the word has a region of its own in the class map, and so a prompt of its own. Where no positive
    point lies in the mask, its largest piece is kept.

    Args:
        low_res: f32 (N, h, w), SAM2's logits.
        prompts: N prompts, points in pixels of the photo.
        size: height and width of the photo.
        mask_threshold: a pixel is in the mask if its logit is above this.

    Returns:
        f32 (N, h, w); what was removed is REMOVED below the threshold.
    """
    kept = low_res.copy()
    to_grid = np.array(low_res.shape[:0:-1]) / np.array(size[::-1])  # x, y
    for logits, prompt in zip(kept, prompts, strict=True):
        count, pieces = cv2.connectedComponents((logits > mask_threshold).astype(np.uint8), connectivity=8)
        if count <= 2:  # the outside, and one piece at most
            continue
        points = (prompt.points[prompt.labels == INSIDE] * to_grid).astype(np.intp)
        x, y = np.clip(points, 0, np.array(logits.shape[::-1]) - 1).T
        touched = np.zeros(count, np.bool_)
        touched[pieces[y, x]] = True
        touched[0] = False  # the outside
        if not touched.any():
            touched[1 + np.argmax(np.bincount(pieces.ravel())[1:])] = True
        logits[~touched[pieces] & (logits > mask_threshold)] = mask_threshold - REMOVED
    return kept


def agreements(
    low_res: Floats,
    class_index: NDArray[np.integer],
    dense: NDArray[np.integer],
    confidence: Floats,
    *,
    mask_threshold: float,
) -> NDArray[np.float64]:
    """How probable each mask's word is over the mask: the mean of the class map's confidence where it has the word.

    Pixels where the class map has another word count as 0. Masks and class map meet on the grid of the masks; of the
    class map the pixel under each grid point's centre is taken.

    Args:
        low_res: f32 (N, h, w), SAM2's logits.
        class_index: (N,), each mask's class.
        dense: (H, W), the class map.
        confidence: f32 (H, W), the probability of that class, 0 to 1.
        mask_threshold: a pixel is in the mask if its logit is above this.

    Returns:
        f64 (N,), 0 to 1; 0 for an empty mask.
    """
    rows, columns = (
        ((np.arange(side) + 0.5) * length / side).astype(np.intp)
        for side, length in zip(low_res.shape[1:], dense.shape, strict=True)
    )
    classes, probable = dense[np.ix_(rows, columns)], confidence[np.ix_(rows, columns)].astype(np.float64)
    found = np.zeros(len(low_res))
    for k, (logits, wanted) in enumerate(zip(low_res, class_index.tolist(), strict=True)):
        inside = logits > mask_threshold
        area = np.count_nonzero(inside)
        if area:
            found[k] = probable[inside & (classes == wanted)].sum() / area
    return found
