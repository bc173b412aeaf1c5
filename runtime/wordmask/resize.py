"""Bilinear resizing that gives torch's numbers, of only the window that is wanted.

Class logits of a large photo are resized strip by strip and masks inside their boxes, so the cost must follow the
window, not the photo. cv2.resize cannot do that, and its sample positions differ by up to 4e-5 of the value range.
Every value is the same whichever window it is computed in (a matrix product would not promise that): thresholding a
window is thresholding the whole.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats

Indices = NDArray[np.int64]


def source_positions(length: int, out_length: int, window: slice = slice(None)) -> tuple[Indices, Indices, Floats]:
    """Where the samples of one resized axis come from.

    Single precision on purpose, operation by operation as in torch (area_pixel_compute_source_index in
    ATen/native/UpSample.h): double precision would be nearer to the truth and further from torch.

    Args:
        length: samples of the source axis.
        out_length: samples of the resized axis.
        window: the output samples wanted.

    Returns:
        For each wanted output sample the source sample at or before it, the one after it (the last repeats at the end),
        and the weight of the latter, 0 to 1.
    """
    scale = np.float32(length) / np.float32(out_length)
    position = scale * (np.arange(out_length, dtype=np.float32)[window] + np.float32(0.5)) - np.float32(0.5)
    position = np.maximum(position, np.float32(0.0))
    before = np.minimum(position.astype(np.int64), length - 1)
    after = np.minimum(before + 1, length - 1)
    return before, after, np.minimum(position - before.astype(np.float32), np.float32(1.0))


def antialiased_taps(length: int, out_length: int) -> tuple[NDArray[np.int32], Floats]:
    """The samples of an axis that an antialiased bilinear resize averages, and their weights.

    They are those of torch.nn.functional.interpolate(mode="bilinear", antialias=True) and of Pillow's BILINEAR: a
    triangle that is as wide as two samples of the coarser grid.

    Args:
        length: samples of the source axis.
        out_length: samples of the resized axis.

    Returns:
        Indices i32 (out_length, T) and weights f32 (out_length, T), which sum to 1; where fewer than T samples are
        averaged, the last weights are 0.
    """
    scale = length / out_length
    support = max(scale, 1.0)
    centre = (np.arange(out_length) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    end = np.minimum((centre + support + 0.5).astype(np.int64), length)
    taps = first[:, None] + np.arange((end - first).max())
    weights = np.maximum(1 - np.abs(taps + 0.5 - centre[:, None]) / support, 0) * (taps < end[:, None])
    weights /= weights.sum(axis=1, keepdims=True)
    return np.minimum(taps, length - 1).astype(np.int32), weights.astype(np.float32)


def bilinear(
    image: Floats,
    out_size: tuple[int, int],
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> Floats:
    """Resizes as torch.nn.functional.interpolate(mode="bilinear", align_corners=False, antialias=False) does.

    Args:
        image: f32 (..., h, w), finite.
        out_size: (H, W) of the whole resized image.
        rows: the output rows wanted.
        columns: the output columns wanted.

    Returns:
        f32 (..., len(rows), len(columns)), equal to the same window of the whole to the last bit.

    Raises:
        ValueError: the image has fewer than two axes, or a side is zero.
    """
    if image.ndim < 2 or 0 in image.shape[-2:] or min(out_size) < 1:
        raise ValueError(f"cannot resize shape {image.shape} to {out_size}: need (..., h, w) and sides of at least 1")
    above, below, row_weight = source_positions(image.shape[-2], out_size[0], rows)
    left, right, column_weight = source_positions(image.shape[-1], out_size[1], columns)

    # Columns first: a strip touches few source rows, and gathering single columns is the slow part.
    needed = np.unique(np.concatenate((above, below)))
    source = np.asarray(image, dtype=np.float32).reshape(-1, *image.shape[-2:])[:, needed]  # (planes, needed, w)
    wide = _lerp(source, left, right, column_weight, axis=2)
    above, below = np.searchsorted(needed, above), np.searchsorted(needed, below)
    out = np.empty((wide.shape[0], len(above), len(left)), dtype=np.float32)
    for plane, target in zip(wide, out, strict=True):  # plane by plane, so that it stays in the cache
        _lerp(plane, above, below, row_weight[:, None], axis=0, out=target)
    return out.reshape(*image.shape[:-2], len(above), len(left))


def _lerp(
    values: Floats, before: Indices, after: Indices, weight: Floats, *, axis: int, out: Floats | None = None
) -> Floats:
    # mode="clip" skips the bounds check; the indices are in range by construction.
    out = np.take(values, before, axis=axis, out=out, mode="clip")
    out *= np.float32(1.0) - weight
    other = np.take(values, after, axis=axis, mode="clip")
    other *= weight
    out += other
    return out
