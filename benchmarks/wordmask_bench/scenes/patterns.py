"""Appearance of objects: colours and patterns that can be recognised in one 16-pixel patch, and light.

A phrase names the object's colour. The second colour of a pattern is a grey that cannot be taken for the named colour:
light, middle or dark beside a chromatic colour, middle beside white, a darker middle beside black. So the named colour
is the chromatic one, or else the lighter or darker extreme of the pair. Periods are 6 to 14 pixels of the scene, so a
16-pixel patch holds one to two and a half; resizing a scene scales them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.noise import Floats

MIN_PERIOD, MAX_PERIOD = 6.0, 14.0

# RGB at full light.
_COLOURS = {
    "red": (214, 22, 34),
    "green": (18, 170, 62),
    "blue": (30, 62, 222),
    "yellow": (250, 222, 22),
    "purple": (148, 36, 190),
    "orange": (250, 126, 10),
    "white": (246, 246, 248),
    "black": (22, 22, 25),
}
_LIGHT, _MIDDLE, _DARK = (215, 240), (122, 146), (28, 52)  # grey levels, from and to
_INKS = {  # only greys that also differ from the colour in brightness
    "red": (_LIGHT, _DARK),
    "green": (_LIGHT, _DARK),
    "blue": (_LIGHT, _MIDDLE),
    "yellow": (_MIDDLE, _DARK),
    "purple": (_LIGHT, _DARK),
    "orange": (_LIGHT, _DARK),
    "white": ((138, 164),),
    "black": ((98, 124),),
}


@dataclass(frozen=True)
class Look:
    """Appearance of one object.

    Attributes:
        pattern: one of PATTERNS.
        base: RGB of the named colour, 0 to 255.
        ink: RGB of the pattern's second colour.
        period: pixels.
        angle: direction of the pattern, radians.
        phase: shifts along and across, in periods.
        share: part of a stripe's period that has the second colour, 0 to 1.
    """

    pattern: str
    base: tuple[float, float, float]
    ink: tuple[float, float, float]
    period: float
    angle: float
    phase: tuple[float, float]
    share: float


def draw_look(rng: np.random.Generator, word: str, extent: float) -> Look:
    """Draws the appearance of an object with this word.

    Args:
        rng: source of randomness.
        word: e.g. "red striped".
        extent: longer side of the object in pixels; small objects get short periods.
    """
    colour, pattern = word.split()
    base = np.clip(np.array(_COLOURS[colour]) + rng.normal(0, 5, 3), 0, 255)
    levels = _INKS[colour]
    grey = rng.uniform(*levels[int(rng.integers(len(levels)))])
    longest = min(max(extent / 3, MIN_PERIOD), MAX_PERIOD)
    shortest = min(8.0, longest) if pattern in ("checkered", "zigzag") else MIN_PERIOD
    return Look(
        pattern=pattern,
        base=(base[0], base[1], base[2]),
        ink=(grey, grey, grey),
        period=rng.uniform(shortest, longest),
        angle=rng.uniform(0, np.pi),
        phase=(rng.uniform(), rng.uniform()),
        share=rng.uniform(0.4, 0.5),
    )


def ink_coverage(look: Look, size: tuple[int, int]) -> Floats:
    """The share of each pixel that the pattern's second colour covers.

    Returns:
        f32 (h, w), 0 to 1; all 0 for a plain look.
    """
    if look.pattern == "plain":
        return np.zeros(size, dtype=np.float32)
    cos, sin, period = np.float32(np.cos(look.angle)), np.float32(np.sin(look.angle)), np.float32(look.period)
    y, x = np.arange(size[0], dtype=np.float32)[:, None], np.arange(size[1], dtype=np.float32)
    across = (cos * x + sin * y) / period + np.float32(look.phase[0])  # (h, w), in periods
    along = (cos * y - sin * x) / period + np.float32(look.phase[1])
    share = np.float32(look.share)
    if look.pattern == "striped":
        edge = (share / 2 - _from_centre(across)) * period
    elif look.pattern == "zigzag":  # bends of 45 degrees, one and a half periods long
        bent = across + np.float32(1.5) * _from_centre(along / np.float32(1.5))
        edge = (share / 2 - _from_centre(bent)) * period * np.float32(0.71)
    elif look.pattern == "checkered":
        a, b = _from_centre(across) - np.float32(0.25), _from_centre(along) - np.float32(0.25)
        edge = np.copysign(np.minimum(np.abs(a), np.abs(b)), a * b) * period
    else:
        edge = (np.float32(0.32) - np.hypot(_from_centre(across), _from_centre(along))) * period
    return np.asarray(np.clip(edge + np.float32(0.5), 0, 1), dtype=np.float32)


def _from_centre(values: NDArray[np.floating]) -> Floats:
    """Distance to the nearest whole number, 0 to 0.5."""
    return np.asarray(np.abs(values - np.rint(values)), dtype=np.float32)


def light(rng: np.random.Generator, depth: Floats) -> tuple[Floats, Floats]:
    """Light on an object: a factor for its colours, and a highlight that is added.

    Args:
        rng: source of randomness.
        depth: f32 (h, w), distance to the object's outline in pixels, 0 outside.

    Returns:
        Two f32 (h, w): factor, about 0.7 to 1.1; highlight, grey levels up to 45.
    """
    height, width = depth.shape
    angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.02, 0.14)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)
    factor = np.float32(0.98) + np.float32(strength * np.cos(angle)) * x + np.float32(strength * np.sin(angle)) * y
    rim = rng.uniform(0.0, 0.22)  # edges are darker
    factor *= 1 - np.float32(rim) * np.exp(depth * np.float32(-1 / max(2.0, 0.06 * max(height, width))))
    centre = np.float32(rng.uniform(0.2, 0.5))
    spread = np.float32(rng.uniform(8, 20))
    distance = (x - centre * np.float32(np.cos(angle))) ** 2 + (y - centre * np.float32(np.sin(angle))) ** 2
    highlight = np.float32(max(rng.uniform(-30, 45), 0)) * np.exp(-spread * distance)
    return factor, highlight


def paint(rng: np.random.Generator, look: Look, ink: Floats, depth: Floats) -> NDArray[np.float32]:
    """Paints the box of an object.

    Args:
        rng: source of randomness.
        look: colours and pattern.
        ink: f32 (h, w), see ink_coverage.
        depth: f32 (h, w), see light.

    Returns:
        f32 (h, w, 3), RGB, about 0 to 255, not clipped.
    """
    factor, highlight = light(rng, depth)
    picture = np.empty((*depth.shape, 3), dtype=np.float32)
    for channel in range(3):
        base, second = np.float32(look.base[channel]), np.float32(look.ink[channel])
        picture[..., channel] = (base + ink * (second - base)) * factor + highlight
    return picture
