"""From SAM2's low-resolution logits to masks of the photo.

A mask is the bilinear upsampling of its logits, thresholded. Doing that for every prompt at the photo's size is most of
the work after the decoder, and most prompts of one class turn out to be duplicates. So duplicates are found first, on
the low-resolution grid, with bounds that are certain; only what they leave open is upsampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from wordmask import resize, rle
from wordmask.arrays import BoolMask, Floats
from wordmask.types import Instance

Box = tuple[int, int, int, int]


def drop_duplicates(
    low_res: Floats,
    class_index: NDArray[np.int64],
    priority: NDArray[np.floating],
    size: tuple[int, int],
    iou_threshold: float,
    *,
    across_classes_iou: float = 1.0,
    mask_threshold: float = 0.0,
) -> NDArray[np.int64]:
    """Keeps one of several masks that cover the same pixels, and drops empty masks.

    The masks are taken by falling priority (the lower index first where equal); one is dropped if its IoU with any kept
    one is above the threshold for two masks of a class, or of two classes. The IoU is that of the masks at the photo's
    size.

    Args:
        low_res: f32 (N, h, w), SAM2's logits, finite.
        class_index: i64 (N,).
        priority: (N,), such as the scores.
        size: (H, W) of the photo.
        iou_threshold: for two masks of one class, 0 to 1.
        across_classes_iou: for two masks of different classes; 1 drops none.
        mask_threshold: a pixel is in the mask if its upsampled logit is above this.

    Returns:
        i64 (K,), the kept indices, ascending.
    """
    bounds = _AreaBounds(low_res, size, mask_threshold)

    @lru_cache(maxsize=32)  # of a large photo masks are large
    def full(i: int) -> tuple[BoolMask, Box] | None:
        return upsample(low_res[i], size, mask_threshold=mask_threshold)

    def overlap(i: int, j: int) -> float:
        one, other = full(i), full(j)
        assert one is not None  # empty masks are sorted out before
        assert other is not None
        return iou(one, other)

    kept = []
    order = np.argsort(-priority, kind="stable").tolist()
    open_ = [i for i in order if bounds.most[i] > 0 and (bounds.least[i] > 0 or full(i) is not None)]
    while open_:
        best, *open_ = open_
        kept.append(best)
        own = [i for i in open_ if class_index[i] == class_index[best]]
        others = [i for i in open_ if class_index[i] != class_index[best]] if across_classes_iou < 1 else []
        doubles = {
            i
            for rivals, most in ((own, iou_threshold), (others, across_classes_iou))
            for i, at_least, at_most in bounds.iou(best, rivals, most)
            if at_least > most or (at_most > most and overlap(best, i) > most)
        }
        open_ = [i for i in open_ if i not in doubles]
    return np.sort(np.array(kept, dtype=np.int64))


def upsample(low_res: Floats, size: tuple[int, int], *, mask_threshold: float = 0.0) -> tuple[BoolMask, Box] | None:
    """The mask at the photo's size, cut to its box.

    Args:
        low_res: f32 (h, w), logits of one mask, finite.
        size: (H, W) of the photo.
        mask_threshold: a pixel is in the mask if its upsampled logit is above this.

    Returns:
        bool (y1 - y0, x1 - x0) and its box x0, y0, x1, y1 (exclusive ends); None if the mask is empty.
    """
    above = low_res > mask_threshold - _slack(mask_threshold)
    window = []
    for axis in (0, 1):
        reached: BoolMask = np.logical_or.reduce(above, axis=1 - axis)
        before, after, _ = resize.source_positions(low_res.shape[axis], size[axis])
        window.append(_extent(reached[before] | reached[after]))
    (y0, y1), (x0, x1) = window
    mask: BoolMask = resize.bilinear(low_res, size, slice(y0, y1), slice(x0, x1)) > mask_threshold
    found = cut(mask)
    if found is None:
        return None
    inside, (left, top, right, bottom) = found
    return inside, (x0 + left, y0 + top, x0 + right, y0 + bottom)


def cut(mask: BoolMask) -> tuple[BoolMask, Box] | None:
    """A mask bool (H, W) cut to its box, and the box x0, y0, x1, y1 (exclusive ends); None if the mask is empty."""
    x0, y0, x1, y1 = box = _box(mask)
    return (mask[y0:y1, x0:x1], box) if y0 < y1 else None


def iou(one: tuple[BoolMask, Box], other: tuple[BoolMask, Box]) -> float:
    """IoU of two masks that are given inside their boxes, as `cut` gives them."""
    (a, (ax0, ay0, ax1, ay1)), (b, (bx0, by0, bx1, by1)) = one, other
    x0, y0, x1, y1 = max(ax0, bx0), max(ay0, by0), min(ax1, bx1), min(ay1, by1)
    if x0 >= x1 or y0 >= y1:
        return 0.0
    both = np.count_nonzero(a[y0 - ay0 : y1 - ay0, x0 - ax0 : x1 - ax0] & b[y0 - by0 : y1 - by0, x0 - bx0 : x1 - bx0])
    return both / (np.count_nonzero(a) + np.count_nonzero(b) - both)


def paint(instances: Sequence[Instance], size: tuple[int, int]) -> NDArray[np.uint16]:
    """The semantic map: instances in rising score, later ones on top (of equal scores the earlier in the sequence).

    Args:
        instances: masks over the whole photo, with their boxes.
        size: (H, W) of the photo.

    Returns:
        u16 (H, W), 0 none, class index + 1 elsewhere.
    """
    semantic = np.zeros(size, dtype=np.uint16)
    for instance in sorted(instances, key=lambda instance: -instance.score)[::-1]:
        x0, y0, x1, y1 = instance.box
        semantic[y0:y1, x0:x1][rle.decode_box(instance.mask, instance.box)] = instance.class_index + 1
    return semantic


class _AreaBounds:
    """Bounds of areas and overlaps at the photo's size, from the low-resolution logits.

    The pixels between four neighbouring samples (a cell) lie between the least and the largest of them. A cell above
    the threshold at all four corners is inside, one above at none is outside, and the cell's number of pixels is known.

    Attributes:
        least: f64 (N,), pixels of each mask, at least.
        most: f64 (N,), at most.
    """

    def __init__(self, low_res: Floats, size: tuple[int, int], mask_threshold: float) -> None:
        slack = _slack(mask_threshold)
        self._inside = _cells(low_res > mask_threshold + slack, np.logical_and)
        self._reached = _cells(low_res > mask_threshold - slack, np.logical_or)
        # Sums of whole numbers: exact in single precision up to 2**24 pixels.
        dtype: type[np.floating] = np.float32 if size[0] * size[1] < 2**24 else np.float64
        rows, columns = (
            np.bincount(resize.source_positions(length, out)[0], minlength=length).astype(dtype)
            for length, out in zip(low_res.shape[1:], size, strict=True)
        )
        self._pixels = rows[:, None] * columns  # (h, w), of each cell
        self.least = np.array([rows @ mask @ columns for mask in self._inside], dtype=np.float64)
        self.most = np.array([rows @ mask @ columns for mask in self._reached], dtype=np.float64)

    def iou(self, one: int, others: Sequence[int], iou_threshold: float) -> list[tuple[int, float, float]]:
        """Those of the others whose IoU with the one may exceed the threshold: index, least and largest IoU."""
        near = np.array(others, dtype=np.int64)
        smaller = np.minimum(self.most[near], self.most[one])
        larger = np.maximum(self.least[near], self.least[one])
        near = near[smaller / np.maximum(larger, 1.0) > iou_threshold]  # the areas alone tell most pairs apart
        x0, y0, x1, y1 = _box(self._reached[one])
        box = np.s_[y0:y1, x0:x1]
        least, most = (
            masks[near, *box].reshape(len(near), (y1 - y0) * (x1 - x0)) @ (masks[one] * self._pixels)[box].ravel()
            for masks in (self._inside, self._reached)
        )
        smallest_union = self.least[one] + self.least[near] - least
        largest_union = self.most[one] + self.most[near] - most
        low, high = least / np.maximum(largest_union, 1.0), most / np.maximum(smallest_union, 1.0)
        return list(zip(near.tolist(), low.tolist(), high.tolist(), strict=True))


def _slack(threshold: float) -> float:
    """What rounding can add to, or take from, the interpolation of four values that are all at the threshold.

    Each step is monotone, so mixed values lie between those of their least and largest: two lerps of three roundings.
    """
    return max(1e-6 * abs(threshold), 1e-30)


def _cells(corners: BoolMask, combine: np.ufunc) -> BoolMask:
    """(N, h, w): combines each sample with its neighbours to the right, below and between; at the end with itself."""
    cells = corners.copy()
    combine(corners[:, :, :-1], corners[:, :, 1:], out=cells[:, :, :-1])
    rows = cells.copy()
    combine(rows[:, :-1], rows[:, 1:], out=cells[:, :-1])
    return cells


def _box(mask: BoolMask) -> Box:
    rows, columns = (np.logical_or.reduce(mask, axis=axis) for axis in (1, 0))
    (y0, y1), (x0, x1) = _extent(rows), _extent(columns)
    return x0, y0, x1, y1


def _extent(flags: BoolMask) -> tuple[int, int]:
    """The first set flag and the one after the last; (0, 0) where none is set."""
    where = np.flatnonzero(flags)
    return (int(where[0]), int(where[-1]) + 1) if where.size else (0, 0)
