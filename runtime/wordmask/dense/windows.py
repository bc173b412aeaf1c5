"""SCLIP's windows: a photo resized, and cut into squares that overlap."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from wordmask.arrays import Photo
from wordmask.bundle.manifest import Clip
from wordmask.errors import BundleError

MOST_OVERLAPS = 8  # windows that a pixel may lie in along a side: a photo's windows are all in memory


class Windowing(Protocol):
    """Side and step of windows, in pixels."""

    @property
    def window(self) -> int: ...  # noqa: D102

    @property
    def stride(self) -> int: ...  # noqa: D102


def with_stride(constants: Clip, stride: int | None) -> Clip:
    """The bundle's constants with another step between windows; None keeps theirs.

    Raises:
        BundleError: the step is longer than a window's side, which would leave gaps, or under 1/MOST_OVERLAPS of it.
    """
    if stride is None:
        return constants
    least = -(-constants.window // MOST_OVERLAPS)
    if not least <= stride <= constants.window:
        expected = f"must lie between {least} and {constants.window}, the side of the bundle's windows"
        raise BundleError(f"stride is {stride}: it {expected}")
    return replace(constants, stride=stride)


def clip_scale(size: tuple[int, int], constants: Clip) -> float:
    """The factor by which a photo of that height and width is resized for CLIP."""
    return min(constants.long_side / max(size), constants.short_side / min(size))


def resized_size(size: tuple[int, int], constants: Clip) -> tuple[int, int]:
    """Height and width to which a photo of that height and width is resized for CLIP, rounded half up."""
    scale = clip_scale(size, constants)
    return max(1, int(size[0] * scale + 0.5)), max(1, int(size[1] * scale + 0.5))


def resize_for_clip(photo: Photo, constants: Clip) -> Photo:
    """Keeps the aspect: short side to short_side unless the long side would exceed long_side.

    SCLIP's test pipeline (mmcv's Resize with keep_ratio: cv2, bilinear, sizes rounded half up).

    Args:
        photo: u8 (H, W, 3).
        constants: the bundle's.
    """
    height, width = resized_size((photo.shape[0], photo.shape[1]), constants)
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows begin along a side; the last is shifted back so that it ends with the side."""
    last = max(length - window, 0)
    return [min(start, last) for start in range(0, last + stride, stride)]


def cut_windows(resized: Photo, constants: Windowing) -> tuple[Photo, list[tuple[int, int]]]:
    """Cuts a resized photo into overlapping windows.

    Sides shorter than a window are padded by repeating the edge.

    Returns:
        u8 (N, window, window, 3), and the top left corner (y, x) of each.
    """
    side = constants.window
    height, width = resized.shape[:2]
    below, right = max(side - height, 0), max(side - width, 0)
    if below or right:
        resized = np.pad(resized, ((0, below), (0, right), (0, 0)), mode="edge")
    rows, columns = (window_starts(length, side, constants.stride) for length in (height, width))
    corners = [(y, x) for y in rows for x in columns]
    return np.stack([resized[y : y + side, x : x + side] for y, x in corners]), corners
