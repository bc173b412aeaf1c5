"""Smooth and grainy noise for the backgrounds; seeded, without global state."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def white(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Independent triangular noise f32 of mean 0 and standard deviation about 1."""
    two = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    noise: Floats = np.add(two[0], two[1], dtype=np.float32)
    return (noise - np.float32(255)) * np.float32(1 / 104.5)


def smooth(rng: np.random.Generator, size: tuple[int, int], cell_y: float, cell_x: float | None = None) -> Floats:
    """Noise f32 (H, W) that varies over cells of the given pixels, of mean 0 and standard deviation about 1."""
    cell_x = cell_y if cell_x is None else cell_x
    fine = 4 if min(cell_y, cell_x) > 16 else 1  # wide cells are computed at a quarter of the resolution
    height, width = -(-size[0] // fine), -(-size[1] // fine)
    step_y, step_x = fine / cell_y, fine / cell_x
    grid = rng.standard_normal((int(height * step_y) + 3, int(width * step_x) + 3), dtype=np.float32)
    matrix = np.array([[step_x, 0, rng.uniform(0.5, 1)], [0, step_y, rng.uniform(0.5, 1)]])
    # Cubic interpolation is slower and differs visibly only in wide cells.
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_CUBIC if fine > 1 else cv2.INTER_LINEAR)
    noise = cv2.warpAffine(grid, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    if fine > 1:
        noise = cv2.resize(noise, size[::-1], interpolation=cv2.INTER_LINEAR)
    return np.asarray(noise, dtype=np.float32)


def clouds(rng: np.random.Generator, size: tuple[int, int], cell: float, octaves: int = 3, fall: float = 0.5) -> Floats:
    """Fractal noise f32 (H, W), mean 0, deviation about 1; octaves have half the cell and `fall` times the strength."""
    total = smooth(rng, size, cell)
    for octave in range(1, octaves):
        total += np.float32(fall**octave) * smooth(rng, size, cell / 2**octave)
    return total / np.float32(np.sqrt(sum(fall ** (2 * octave) for octave in range(octaves))))


def colour_ramp(values: Floats, stops: tuple[tuple[int, int, int], ...], gain: float = 0.2) -> NDArray[np.uint8]:
    """Colours noise: -1/(2*gain) becomes the first stop, +1/(2*gain) the last, linear between them.

    Args:
        values: f32 (H, W).
        stops: two or more RGB colours.
        gain: scale from values to positions on the ramp.

    Returns:
        u8 (H, W, 3), RGB.
    """
    index = cv2.convertScaleAbs(np.clip(values * np.float32(255 * gain) + np.float32(127.5), 0, 255))
    positions = np.linspace(0, 255, len(stops))
    ramp = np.stack([np.interp(np.arange(256), positions, [s[i] for s in stops]) for i in range(3)], axis=1)
    table = np.rint(ramp).astype(np.uint8)[None]  # (1, 256, 3)
    return np.asarray(cv2.LUT(cv2.merge([index, index, index]), table), dtype=np.uint8)
