"""Paints a scene: the background, the objects from back to front, and the effects of a camera."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes import backgrounds, patterns
from wordmask_bench.scenes.objects import Placed

Picture = NDArray[np.uint8]


def render(rng: np.random.Generator, background: str, objects: Sequence[Placed], size: tuple[int, int]) -> Picture:
    """Paints a scene.

    Args:
        rng: source of randomness.
        background: one of BACKGROUNDS.
        objects: front first.
        size: (H, W).

    Returns:
        u8 (H, W, 3), RGB.
    """
    canvas = backgrounds.paint(background, rng, size)
    darkness = max(rng.uniform(-0.3, 0.5), 0.0)
    angle = rng.uniform(0, 2 * np.pi)
    for thing in reversed(objects):
        if darkness:
            reach = min(2 + 0.05 * max(thing.alpha.shape), 10)
            shift = (round(reach * np.sin(angle)), round(reach * np.cos(angle)))
            cast_shadow(canvas, thing.alpha, (thing.y0, thing.x0), darkness, shift)
        _blend(canvas, thing, patterns.paint(rng, thing.look, thing.ink, thing.depth))
    return photograph(rng, canvas)


def _blend(canvas: Picture, thing: Placed, painted: NDArray[np.float32]) -> None:
    height, width = thing.alpha.shape
    view = canvas[thing.y0 : thing.y0 + height, thing.x0 : thing.x0 + width]
    alpha = (thing.alpha * np.float32(1 / 255))[..., None]  # (h, w, 1)
    mixed = view + alpha * (painted - view)
    view[...] = np.clip(mixed, 0, 255, out=mixed)


def cast_shadow(
    canvas: Picture, alpha: NDArray[np.uint8], corner: tuple[int, int], darkness: float, shift: tuple[int, int]
) -> None:
    """Darkens the pixels under an object's blurred and shifted outline.

    Args:
        canvas: u8 (H, W, 3), changed in place.
        alpha: u8 (h, w), the object's coverage of its box.
        corner: (y, x) of the box.
        darkness: 0 to 1, of the whole shadow.
        shift: (y, x) of the shadow from the object, pixels.
    """
    soft = max(abs(shift[0]), abs(shift[1]), 2)
    padded = np.pad(alpha, 2 * soft)
    shadow = cv2.blur(cv2.blur(padded, (soft, soft)), (soft, soft))
    y0, x0 = (start - 2 * soft + moved for start, moved in zip(corner, shift, strict=True))
    top, left = max(-y0, 0), max(-x0, 0)
    view = canvas[y0 + top : y0 + shadow.shape[0], x0 + left : x0 + shadow.shape[1]]
    shadow = shadow[top : top + view.shape[0], left : left + view.shape[1]]
    factor = 1 - shadow * np.float32(darkness / 255)
    view[...] = view * factor[..., None]  # (h, w, 1)


def photograph(rng: np.random.Generator, canvas: Picture) -> Picture:
    """Adds a camera's effects: white balance, blur, sensor noise and, for some scenes, JPEG."""
    gain = rng.uniform(0.9, 1.04) * rng.uniform(0.97, 1.03, 3)
    levels = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)[None]  # (1, 256, 3)
    picture = cv2.LUT(cv2.GaussianBlur(canvas, (5, 5), rng.uniform(0.3, 0.8)), levels)
    grain = rng.integers(0, 256, (2, *canvas.shape), dtype=np.uint8)  # the sum of two has a standard deviation of 104.5
    share = rng.uniform(1.0, 6.0) / 104.5
    noise = cv2.addWeighted(grain[0], share, grain[1], share, 128 - 255 * share)
    picture = cv2.addWeighted(picture, 1, noise, 1, -128)
    if rng.uniform() < 0.3:
        quality = int(rng.integers(60, 96))
        # OpenCV takes RGB for BGR when it encodes and decodes; this affects only the chroma subsampling.
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.asarray(picture, dtype=np.uint8)
