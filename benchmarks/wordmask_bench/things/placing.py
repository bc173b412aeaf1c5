"""Places drawings in a scene, front to back, each turned, mirrored, scaled and in colours of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.things.drawings import Drawing

MOST_OBJECTS = 8
LEAST_EXTENT, MOST_EXTENT = 0.18, 0.42  # longer side of a thing's box, as a share of the scene's shorter side

_ATTEMPTS = 8  # positions tried for a thing
_LEAST_VISIBLE = 0.6  # share of the thing
_LEAST_AREA = 60  # pixels
_CUT_OFF = 0.2  # share of the things that the image's edge may cut
_TILT, _STRETCH = np.deg2rad(25), 0.2  # greatest angle, and greatest logarithm of the width's factor
_HUE = 10.0  # greatest turn of the hue; a whole turn is 256


@dataclass(frozen=True, eq=False)
class Placed:
    """A thing at its position. Arrays cover its box within the image: rows from y0, columns from x0.

    Attributes:
        drawing: what was drawn.
        x0: first column of the box.
        y0: first row of the box.
        colour: f32 (h, w, 3), RGB multiplied by alpha, 0 to 255.
        alpha: u8 (h, w), coverage before occlusion.
        visible: bool (h, w), the pixels that show it; its holes count as its own.
    """

    drawing: Drawing
    x0: int
    y0: int
    colour: NDArray[np.float32]
    alpha: NDArray[np.uint8]
    visible: NDArray[np.bool_]

    @property
    def word(self) -> str:
        """What it is."""
        return self.drawing.word


def arrange(rng: np.random.Generator, drawings: Sequence[Drawing], size: tuple[int, int]) -> list[Placed]:
    """Fills a scene with 1 to 8 things.

    Args:
        rng: source of randomness.
        drawings: to choose from; each word is as likely as any other.
        size: (H, W).

    Returns:
        At least one thing, front first.
    """
    words = sorted({drawing.word for drawing in drawings})
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    owners = np.zeros(size, np.uint8)  # 0 background, i + 1 the i-th thing
    placed: list[Placed] = []
    while wanted or not placed:
        wanted = max(wanted - 1, 0)
        word = words[int(rng.integers(len(words)))]
        choice = [drawing for drawing in drawings if drawing.word == word]
        drawing = choice[int(rng.integers(len(choice)))]
        for _ in range(_ATTEMPTS):
            candidate = _draw(rng, drawing, owners)
            if candidate is None:
                continue
            placed.append(candidate)
            height, width = candidate.visible.shape
            box = owners[candidate.y0 : candidate.y0 + height, candidate.x0 : candidate.x0 + width]
            box[candidate.visible] = len(placed)
            break
    return placed


def _draw(rng: np.random.Generator, drawing: Drawing, owners: NDArray[np.uint8]) -> Placed | None:
    """Draws a thing behind the others; None if too little of it would be visible."""
    extent = float(np.exp(rng.uniform(np.log(LEAST_EXTENT), np.log(MOST_EXTENT)))) * min(owners.shape)
    pixels = _turned(rng, drawing.pixels, extent)
    whole = _filled(pixels[..., 3] >= 128)
    over = 0.35 if rng.uniform() < _CUT_OFF else 0.0  # share of the box that may lie outside the image
    y0, x0 = (int(rng.uniform(-over * a, s - (1 - over) * a)) for a, s in zip(whole.shape, owners.shape, strict=True))
    top, left = max(-y0, 0), max(-x0, 0)
    inside = (
        slice(top, max(min(whole.shape[0], owners.shape[0] - y0), top)),
        slice(left, max(min(whole.shape[1], owners.shape[1] - x0), left)),
    )
    y0, x0 = y0 + top, x0 + left
    visible = whole[inside]
    visible = visible & (owners[y0 : y0 + visible.shape[0], x0 : x0 + visible.shape[1]] == 0)
    if np.count_nonzero(visible) < max(_LEAST_AREA, _LEAST_VISIBLE * np.count_nonzero(whole)):
        return None
    colour, alpha = _recoloured(rng, pixels)[inside], pixels[..., 3][inside]
    return Placed(drawing, x0, y0, colour, np.rint(alpha).astype(np.uint8), visible)


def _turned(rng: np.random.Generator, pixels: NDArray[np.float32], extent: float) -> NDArray[np.float32]:
    """A drawing mirrored or not, stretched and turned, in a box whose longer side is about `extent` pixels."""
    if rng.uniform() < 0.5:
        pixels = pixels[:, ::-1]
    angle, stretch = rng.uniform(-_TILT, _TILT), np.exp(rng.uniform(-_STRETCH, _STRETCH))
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos * stretch, -sin], [sin * stretch, cos]])
    height, width = pixels.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    scale = extent / max(high - low)
    if scale < 0.5:  # otherwise the bilinear interpolation would skip pixels
        factor = 2 * scale
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)
        matrix = matrix / factor
    warp = np.concatenate([matrix * scale, (-low * scale)[:, None]], axis=1)
    columns, rows = (int(n) for n in np.ceil((high - low) * scale))
    return np.asarray(cv2.warpAffine(np.ascontiguousarray(pixels), warp, (columns, rows)), np.float32)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without its holes: between a bicycle's spokes is a bicycle, as in the labels of published datasets."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(mask.shape, np.uint8), outlines, -1, (1,), -1)
    return np.asarray(filled, np.bool_)


def _recoloured(rng: np.random.Generator, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """The drawing's RGB, multiplied by alpha, in a slightly other hue, saturation and brightness."""
    alpha = np.maximum(pixels[..., 3:], 1e-3) * np.float32(1 / 255)
    plain = np.clip(pixels[..., :3] / alpha, 0, 255).astype(np.uint8)
    hsv = cv2.cvtColor(plain, cv2.COLOR_RGB2HSV_FULL).astype(np.int32)
    hsv[..., 0] = (hsv[..., 0] + int(rng.uniform(-_HUE, _HUE))) % 256
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.55, 1.15), 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * rng.uniform(0.7, 1.1) + rng.uniform(0, 20), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB_FULL) * alpha, np.float32)
