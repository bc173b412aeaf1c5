"""Features as a picture: their first three principal components as red, green and blue.

As LoftUp's authors show them (utils.py of andrehuang/loftup): the components are those of the low-resolution features
and of the upsampled ones at the same few places together; each of the two pictures is then stretched to its own range.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wordmask.arrays import Floats
from wordmask.resize import source_positions

CHUNK_ROWS = 64  # rows of the upsampled map that are projected at once
GAP = 8  # white pixels between the pictures
CAPTION = 32  # pixels of the captions' height
LEAST_WIDTH = 800  # pixels of the whole


def side_by_side(photo: NDArray[np.uint8], low: Floats, high: NDArray[Any]) -> NDArray[np.uint8]:
    """The photo, its low-resolution features (nearest) and its upsampled ones, each under its caption.

    Small pictures are enlarged by a whole number k, so that all three together are at least LEAST_WIDTH pixels wide.

    Args:
        photo: u8 (H, W, 3).
        low: f32 (D, h, w).
        high: f16 or f32 (D, H, W).

    Returns:
        u8 (CAPTION + k * H, 3 * k * W + 2 * GAP, 3), RGB.
    """
    mean, components = principal(np.concatenate([columns(low), columns(sampled(high, low.shape[1:]))], axis=1))
    coarse = to_colours(project(low, mean, components))
    fine = to_colours(project(high, mean, components))
    height, width = photo.shape[:2]
    factor = max(1, math.ceil((LEAST_WIDTH - 2 * GAP) / (3 * width)))
    panels = [
        np.asarray(cv2.resize(panel, (factor * width, factor * height), interpolation=how), np.uint8)
        for panel, how in ((photo, cv2.INTER_CUBIC), (coarse, cv2.INTER_NEAREST_EXACT), (fine, cv2.INTER_NEAREST_EXACT))
    ]
    gap = np.full((factor * height, GAP, 3), 255, np.uint8)
    row = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    sizes = f"{width} x {height}", f"{low.shape[2]} x {low.shape[1]}", f"{high.shape[2]} x {high.shape[1]}"
    names = (f"{name}, {size}" for name, size in zip(("photo", "features", "upsampled features"), sizes, strict=True))
    return np.concatenate([_captions(tuple(names), factor * width), row])


def _captions(texts: Sequence[str], width: int) -> NDArray[np.uint8]:
    """Texts above panels of a width, u8 (CAPTION, len(texts) * width + gaps, 3)."""
    strip = Image.new("RGB", (len(texts) * (width + GAP) - GAP, CAPTION), "white")
    pen, font = ImageDraw.Draw(strip), ImageFont.load_default(CAPTION // 2)
    for place, text in enumerate(texts):
        pen.text((place * (width + GAP) + width / 2, CAPTION / 2), text, fill=(28, 33, 40), font=font, anchor="mm")
    return np.array(strip)


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
