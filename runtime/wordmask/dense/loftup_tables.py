"""The tables that LoftUp's graph gathers its sines and cosines from.

LoftUp describes a pixel by sines and cosines of five scalars (row, column, r, g, b) at frequencies up to exp(10), that
is 22026. In half precision, and nearly so in single, the sine of such an argument is noise. But a guidance of bytes has
at most 256 values a channel: so the sines are computed here, in double, once a value, row and column, and the graph
gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.bundle.manifest import Loftup


@dataclass(frozen=True, eq=False)
class Tables:
    """What the LoftUp graph gathers; all f32.

    Attributes:
        colour: (B, 3, 256, 2F + 1): per image, channel and byte the sines, the cosines and the value itself.
        row: (H, 2F). column: (W, 2F). key: (h*w, 4K), positions of the low-resolution features.
    """

    colour: Floats
    row: Floats
    column: Floats
    key: Floats


def linspace(count: int) -> NDArray[np.float64]:
    """-1 to 1 in `count` steps, each the single-precision number that torch.linspace gives."""
    if count == 1:
        return np.array([-1.0])
    index = np.arange(count, dtype=np.float64)
    step = np.float64(np.float32(2) / np.float32(count - 1))
    ramp = np.where(index < count // 2, step * index - 1, 1 - step * (count - 1 - index))
    return ramp.astype(np.float32).astype(np.float64)


def tables(guidance: NDArray[np.uint8], grid: tuple[int, int], constants: Loftup) -> Tables:
    """Computes the tables in double precision.

    Args:
        guidance: (B, H, W, 3). Only each image's extremes a channel matter, and the size.
        grid: height and width of the low-resolution features.
        constants: the bundle's.
    """
    frequencies, phases = np.array(constants.frequencies), np.array(constants.phases)  # (F,), (2, F, 5)
    # axis by axis: numpy takes a hundred times as long over two axes at once
    low = guidance.min(axis=1).min(axis=1).astype(np.float64)[..., None]  # (B, 3, 1)
    high = guidance.max(axis=1).max(axis=1).astype(np.float64)[..., None]
    value = (np.arange(256.0) - low) / np.maximum(high - low, 1.0) - 0.5  # (B, 3, 256)
    colour = np.stack([_waves(value[:, c], frequencies, phases[:, :, 2 + c]) for c in range(3)], axis=1)
    height, width = guidance.shape[1:3]
    return Tables(
        colour=np.concatenate([colour, value[..., None]], axis=-1).astype(np.float32),
        row=_waves(linspace(height), frequencies, phases[:, :, 0]).astype(np.float32),
        column=_waves(linspace(width), frequencies, phases[:, :, 1]).astype(np.float32),
        key=_key_table(grid, constants),
    )


def _waves(
    scalar: NDArray[np.float64], frequencies: NDArray[np.float64], phases: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sines then cosines: scalar (...), phases (2, F) -> (..., 2F)."""
    angle = scalar[..., None] * frequencies
    return np.concatenate([np.sin(angle + phases[0]), np.cos(angle + phases[1])], axis=-1)


def _key_table(grid: tuple[int, int], constants: Loftup) -> Floats:
    frequencies, phases = np.array(constants.key_frequencies), np.array(constants.key_phases)  # (K,), (2, K, 2)
    rows, columns = np.meshgrid(linspace(grid[0]), linspace(grid[1]), indexing="ij")
    angle = np.stack([rows, columns], axis=-1).reshape(-1, 1, 2) * frequencies[:, None]  # (h*w, K, 2)
    waves = np.concatenate([np.sin(angle + phases[0]), np.cos(angle + phases[1])], axis=1)  # (h*w, 2K, 2)
    return waves.reshape(len(waves), -1).astype(np.float32)
