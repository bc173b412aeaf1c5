"""Masks of a photo painted into one map: which object, or class, is on top where they overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.errors import ConversionError
from wordmask.outputs.finished_run import RunPhoto
from wordmask.types import Instance


def mask_in_box(found: Instance) -> BoolMask:
    """The mask inside the box, bool (y1 - y0, x1 - x0).

    Raises:
        ConversionError: the box does not hold the whole mask.
    """
    inside = rle.decode_box(found.mask, found.box)
    if np.count_nonzero(inside) != found.area:
        raise ConversionError(f"the box {found.box} does not hold its mask of {found.area} pixels: run again")
    return inside


def object_map(photo: RunPhoto) -> NDArray[np.int32]:
    """Which object each pixel belongs to: the higher score is on top, as in the run's semantic map.

    Returns:
        i32 (H, W), 0 none, i + 1 the i-th object.
    """
    painted = np.zeros(photo.size, dtype=np.int32)
    order = sorted(range(len(photo.objects)), key=lambda i: -photo.objects[i].score)
    for i in reversed(order):
        x0, y0, x1, y1 = photo.objects[i].box
        painted[y0:y1, x0:x1][mask_in_box(photo.objects[i])] = i + 1
    return painted


def class_map(photo: RunPhoto, objects: NDArray[np.int32]) -> NDArray[np.int32]:
    """Which class each pixel of an object map belongs to: i32 (H, W), 0 none, i + 1 the i-th word."""
    classes = np.array([0, *(each.class_index + 1 for each in photo.objects)], dtype=np.int32)
    return classes[objects]
