"""What lies behind the things: a painted background, or a part of a photo, in training with clutter on it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.backgrounds import paint
from wordmask_bench.scenes.coverage import coverage, place
from wordmask_bench.scenes.shapes import SHAPES
from wordmask_bench.scenes.words import BACKGROUNDS
from wordmask_bench.things.drawings import photos

Picture = NDArray[np.uint8]

NO_WORD = ""  # of a photo behind the things
_PAINTED = 0.3  # share of the scenes whose background is one of BACKGROUNDS in place of a photo
_OTHER_HUES = 0.4  # share of the training's photos in another hue
_CLOSER = 1.7  # training shows photos up to that much larger than the scene needs
_BLENDED = 0.25  # share of the training's photos blended with another
_GAMMA = 0.5  # greatest logarithm of the exponent of their brightness
_CLUTTER = 12  # shapes without a word on a photo, at most
_PLAIN = 0.3  # share of the shapes in one colour; the others show a part of a photo


def background(rng: np.random.Generator, size: tuple[int, int], *, training: bool) -> tuple[str, Picture]:
    """A background's word, "" for a photo, and its picture.

    There are few photos for training. It sees them closer or farther, turned, and in other hues; and shapes on them
    that are no things, cut from other photos or plain, teach that not all that stands out is one: without them much
    was found on photos never seen where nothing is.

    Args:
        rng: source of randomness.
        size: (H, W).
        training: takes the photos that training sees, and strews shapes over them; else the other photos as they are.

    Returns:
        The word, and u8 (H, W, 3), RGB.
    """
    if rng.uniform() < _PAINTED:
        word = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
        return word, paint(word, rng, size)
    canvas = _part(rng, size, training=training)
    if training and rng.uniform() < _BLENDED:
        share, other = rng.uniform(0.2, 0.8), _part(rng, size, training=True)
        canvas = np.asarray(cv2.addWeighted(canvas, share, other, 1 - share, 0.0), np.uint8)
    if training:
        table = 255 * np.linspace(0, 1, 256) ** np.exp(rng.uniform(-_GAMMA, _GAMMA))
        canvas = np.asarray(cv2.LUT(canvas, np.rint(table).astype(np.uint8)), np.uint8)
    for _ in range(int(rng.integers(_CLUTTER + 1)) if training else 0):
        _strew(rng, canvas)
    return NO_WORD, canvas


def _part(rng: np.random.Generator, size: tuple[int, int], *, training: bool) -> Picture:
    """A part of a photo, mirrored or not; in training also turned by right angles, and some in another hue."""
    choice = photos(held_out=not training)
    photo = choice[int(rng.integers(len(choice)))]
    if training:
        photo = np.asarray(np.rot90(photo, int(rng.integers(4))), np.uint8)
    least = max(size[0] / photo.shape[0], size[1] / photo.shape[1])
    most = max(1.0, least) * (_CLOSER if training else 1.01)
    scale = np.exp(rng.uniform(np.log(least), np.log(most)))
    height, width = (min(int(s / scale), p) for s, p in zip(size, photo.shape, strict=False))
    y, x = int(rng.integers(photo.shape[0] - height + 1)), int(rng.integers(photo.shape[1] - width + 1))
    part = np.ascontiguousarray(photo[y : y + height, x : x + width])
    interpolation = cv2.INTER_AREA if height >= size[0] else cv2.INTER_LINEAR
    sized = np.asarray(cv2.resize(part, size[::-1], interpolation=interpolation), np.uint8)
    if rng.uniform() < 0.5:
        sized = np.ascontiguousarray(sized[:, ::-1])
    if training and rng.uniform() < _OTHER_HUES:
        hsv = cv2.cvtColor(sized, cv2.COLOR_RGB2HSV_FULL)
        hsv[..., 0] += np.uint8(rng.integers(256))
        sized = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL), np.uint8)
    return sized


def _strew(rng: np.random.Generator, canvas: Picture) -> None:
    """Adds one shape, anywhere."""
    extent = float(np.exp(rng.uniform(np.log(0.06), np.log(0.8)))) * min(canvas.shape[:2])
    outline = SHAPES[int(rng.integers(len(SHAPES)))](rng)
    alpha = coverage(place(outline, extent, rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 1.0)))
    y0, x0 = (int(rng.uniform(-0.5 * a, s - 0.5 * a)) for a, s in zip(alpha.shape, canvas.shape, strict=False))
    top, left = max(-y0, 0), max(-x0, 0)
    alpha = alpha[top : canvas.shape[0] - y0, left : canvas.shape[1] - x0]
    view = canvas[y0 + top : y0 + top + alpha.shape[0], x0 + left : x0 + left + alpha.shape[1]]
    if rng.uniform() < _PLAIN:
        filling: Picture = np.broadcast_to(rng.integers(0, 256, 3).astype(np.uint8), view.shape)
    else:
        filling = _part(rng, (max(view.shape[0], 8), max(view.shape[1], 8)), training=True)
        filling = filling[: view.shape[0], : view.shape[1]]
    share = alpha[..., None] * np.float32(1 / 255)
    view[...] = view + share * (filling.astype(np.float32) - view)
