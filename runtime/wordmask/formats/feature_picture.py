"""Features as a picture: their first three principal components as red, green and blue.

As LoftUp's authors show them (utils.py of andrehuang/loftup): the components are those of the low-resolution features
and of the upsampled ones at the same few places together; each of the two pictures is then stretched to its own range.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.resize import source_positions

CHUNK_ROWS = 64  # rows of the upsampled map that are projected at once
GAP = 8  # white pixels between the pictures


def side_by_side(photo: NDArray[np.uint8], low: Floats, high: NDArray[Any]) -> NDArray[np.uint8]:
    """The photo, its low-resolution features (nearest) and its upsampled ones.

    Args:
        photo: u8 (H, W, 3).
        low: f32 (D, h, w).
        high: f16 or f32 (D, H, W).

    Returns:
        u8 (H, 3 * W + 16, 3), RGB.
    """
    mean, components = principal(np.concatenate([columns(low), columns(sampled(high, low.shape[1:]))], axis=1))
    coarse = to_colours(project(low, mean, components))
    fine = to_colours(project(high, mean, components))
    height, width = photo.shape[:2]
    coarse = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.uint8, copy=False)
    gap = np.full((height, GAP, 3), 255, np.uint8)
    return np.concatenate([photo, gap, coarse, gap, fine], axis=1)


def principal(samples: Floats) -> tuple[Floats, Floats]:
    """Mean (D, 1) and first components (3, D) of samples (D, N), each with its largest entry positive.

    Directions in which the samples do not vary are zero.
    """
    mean = samples.mean(axis=1, keepdims=True)
    directions, spread, _ = np.linalg.svd(samples - mean, full_matrices=False)
    components = np.zeros((3, len(samples)), np.float32)
    for k in range(min(3, len(spread))):
        if spread[k] > 1e-6 * spread[0]:
            direction = directions[:, k]
            components[k] = direction * np.sign(direction[np.abs(direction).argmax()])
    return mean, components


def columns(maps: NDArray[Any]) -> Floats:
    """(D, h, w) -> f32 (D, h*w)."""
    return maps.reshape(len(maps), -1).astype(np.float32)


def sampled(high: NDArray[Any], size: tuple[int, ...]) -> Floats:
    """The map resized to a few places as torch's bilinear interpolation without antialiasing does: (D, *size)."""
    (above, below, down), (left, right, across) = (
        source_positions(length, wanted) for length, wanted in zip(high.shape[1:], size, strict=True)
    )
    down = down[:, None]
    top, bottom = (
        high[:, rows][:, :, left] * (1 - across) + high[:, rows][:, :, right] * across for rows in (above, below)
    )
    found: Floats = (top * (1 - down) + bottom * down).astype(np.float32)
    return found


def project(maps: NDArray[Any], mean: Floats, components: Floats) -> Floats:
    """Coordinates along the components: (D, H, W) -> f32 (H, W, 3)."""
    out = np.empty((*maps.shape[1:], len(components)), np.float32)
    for start in range(0, maps.shape[1], CHUNK_ROWS):
        part = maps[:, start : start + CHUNK_ROWS]
        flat = components @ (columns(part) - mean)  # (3, rows*W)
        out[start : start + CHUNK_ROWS] = flat.T.reshape(*part.shape[1:], len(components))
    return out


def to_colours(coordinates: Floats) -> NDArray[np.uint8]:
    """Each channel stretched from its least to its largest value: f32 (H, W, 3) -> u8."""
    low, high = coordinates.min(axis=(0, 1)), coordinates.max(axis=(0, 1))
    scale = np.where(high > low, high - low, 1)
    stretched: NDArray[np.uint8] = np.rint((coordinates - low) / scale * 255).astype(np.uint8)
    return stretched
