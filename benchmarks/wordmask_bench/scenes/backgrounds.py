"""Procedural backgrounds in muted colours that no object has.

Each can be recognised in a few dozen pixels, by its texture or by a colour that objects do not have.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.noise import Floats, clouds, colour_ramp, smooth, white
from wordmask_bench.scenes.words import BACKGROUNDS

Picture = NDArray[np.uint8]
Size = tuple[int, int]


def grass(rng: np.random.Generator, size: Size) -> Picture:
    """Short upright blades."""
    blades = smooth(rng, size, rng.uniform(6, 10), 1.4) + smooth(rng, size, 3.0, 1.2)
    return colour_ramp(blades + 0.7 * smooth(rng, size, 40), ((38, 56, 24), (84, 106, 48), (140, 152, 84)), 0.17)


def sky(rng: np.random.Generator, size: Size) -> Picture:
    """Light blue, paler below, with soft clouds."""
    paler = np.linspace(-1.2, rng.uniform(0.4, 1.2), size[0], dtype=np.float32)[:, None]  # (H, 1)
    cloud = np.maximum(clouds(rng, size, rng.uniform(50, 110), 4), 0)
    return colour_ramp(paler + cloud, ((116, 168, 220), (150, 192, 228), (204, 220, 234)), 0.24)


def sand(rng: np.random.Generator, size: Size) -> Picture:
    """Grain and wind ripples."""
    period, tilt = rng.uniform(22, 40), rng.uniform(-0.35, 0.35)
    y, x = np.arange(size[0], dtype=np.float32)[:, None], np.arange(size[1], dtype=np.float32)
    ripples = np.sin((y + tilt * x) * np.float32(2 * np.pi / period) + 1.6 * smooth(rng, size, 50))
    grain = white(rng, size) + smooth(rng, size, 2.2)
    return colour_ramp(0.5 * ripples + 0.6 * grain, ((158, 128, 88), (196, 166, 120), (226, 200, 156)), 0.21)


def water(rng: np.random.Generator, size: Size) -> Picture:
    """Dark teal with flat wavelets and glints."""
    wavelets = smooth(rng, size, 5, rng.uniform(18, 28)) + 0.7 * smooth(rng, size, 2.6, 10)
    return colour_ramp(wavelets + 0.3 * smooth(rng, size, 60), ((14, 56, 72), (34, 92, 108), (128, 176, 182)), 0.17)


def brick(rng: np.random.Generator, size: Size) -> Picture:
    """Courses of bricks with light mortar."""
    height = int(rng.integers(14, 27))
    width, mortar = int(height * rng.uniform(2.0, 2.6)), max(2, height // 8)
    y, x = np.arange(size[0]) + int(rng.integers(height)), np.arange(size[1]) + int(rng.integers(width))
    course, columns = y // height, np.stack([x, x + width // 2])  # every second course is shifted by half a brick
    tones = rng.normal(0, 0.9, (course[-1] + 1, columns.max() // width + 1)).astype(np.float32)
    tone = np.empty(size, dtype=np.float32)
    for parity in (0, 1):
        rows = course % 2 == parity
        tone[rows] = tones[course[rows]][:, columns[parity] // width]
    tone += 0.5 * white(rng, size) + 0.6 * smooth(rng, size, 5)
    picture = colour_ramp(tone, ((104, 58, 46), (146, 86, 68), (176, 116, 94)), 0.2)
    joint = np.where((course % 2 == 0)[:, None], *[(c % width < mortar)[None] for c in columns])
    joint |= (y % height < mortar)[:, None]
    grey = colour_ramp(white(rng, (1, size[1])), ((160, 152, 142), (190, 183, 172)))
    cv2.copyTo(np.broadcast_to(grey, picture.shape).copy(), joint.astype(np.uint8), picture)
    return picture


def wood(rng: np.random.Generator, size: Size) -> Picture:
    """Boards with grain, lying or standing."""
    standing = bool(rng.integers(2))
    height, width = size[::-1] if standing else size
    board = int(rng.integers(44, 90))
    rings = np.sin(3.4 * smooth(rng, (height, width), rng.uniform(9, 15), 130)) * 0.9
    fibres = smooth(rng, (height, width), 1.3, 26)
    y = np.arange(height) + int(rng.integers(board))
    tone = rng.normal(0, 0.6, y[-1] // board + 1).astype(np.float32)[y // board]
    tone[y % board < 2] -= 4
    picture = colour_ramp(rings + 0.7 * fibres + tone[:, None], ((66, 42, 26), (122, 84, 54), (160, 118, 82)), 0.17)
    return np.ascontiguousarray(picture.transpose(1, 0, 2)) if standing else picture


def stone(rng: np.random.Generator, size: Size) -> Picture:
    """Blue-grey slate with speckles and cracks; the greys of patterns are neutral."""
    relief = clouds(rng, size, rng.uniform(40, 70), 4, 0.7)
    crack = np.maximum(1 - np.abs(clouds(rng, size, rng.uniform(45, 80), 3)) * 16, 0)
    tone = 0.8 * relief + 0.7 * smooth(rng, size, 2.0) + 0.5 * white(rng, size) - 3 * crack
    return colour_ramp(tone, ((50, 64, 78), (92, 110, 126), (136, 154, 168)), 0.18)


def paper(rng: np.random.Generator, size: Size) -> Picture:
    """Cream paper, crumpled, with fibres."""
    low = (size[0] // 3 + 1, size[1] // 3 + 1)
    corners = rng.uniform(0, 1, (int(rng.integers(8, 20)), 2)) * low
    slopes = rng.normal(0, 0.045, corners.shape)
    y, x = np.arange(low[0], dtype=np.float32)[:, None], np.arange(low[1], dtype=np.float32)
    nearest, facet = np.full(low, np.inf, dtype=np.float32), np.zeros(low, dtype=np.float32)
    for (cy, cx), (sy, sx) in zip(corners.astype(np.float32), slopes.astype(np.float32), strict=True):
        distance = (y - cy) ** 2 + (x - cx) ** 2
        closer = distance < nearest
        nearest = np.where(closer, distance, nearest)
        facet = np.where(closer, (y - cy) * sy + (x - cx) * sx, facet)
    crumple = np.asarray(cv2.resize(facet, size[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)
    fibres: Floats = np.maximum(np.abs(smooth(rng, size, 4, 9)) - np.float32(1.2), np.float32(0))
    tone: Floats = np.clip(crumple, np.float32(-2), np.float32(2)) + 0.25 * white(rng, size)
    return colour_ramp(tone - 0.8 * fibres, ((186, 166, 130), (222, 205, 170), (240, 226, 196)), 0.18)


_PAINTERS: dict[str, Callable[[np.random.Generator, Size], Picture]] = {
    painter.__name__: painter for painter in (grass, sky, sand, water, brick, wood, stone, paper)
}
assert tuple(_PAINTERS) == BACKGROUNDS


def paint(name: str, rng: np.random.Generator, size: Size) -> Picture:
    """Paints one of BACKGROUNDS.

    Args:
        name: the word.
        rng: source of randomness.
        size: (H, W).

    Returns:
        u8 (H, W, 3), RGB.
    """
    return _PAINTERS[name](rng, size)
