"""LoftUp in the runtime: the tables its graph reads, and its use over windows and tiles.

LoftUp describes a pixel by sines and cosines of five scalars (row, column, r, g, b) at frequencies up to exp(10), that
is 22026. In half precision, and nearly so in single, the sine of such an argument is noise. But a guidance of bytes has
at most 256 values a channel: so the sines are computed here, in double, once a value, row and column, and the graph
gathers them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Graph, Value
from wordmask.manifest import Loftup
from wordmask.types import Floats

HALO = 2  # pixels that two 3x3 convolutions see beyond a tile
WHOLE_PIXELS = 512 * 512  # larger guidance is cut into tiles
SCORE_BYTES = 256 << 20  # attention scores a call may take: pixels * keys * 4 heads * 4 bytes


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
    low = guidance.min(axis=(1, 2)).astype(np.float64)[..., None]  # (B, 3, 1)
    high = guidance.max(axis=(1, 2)).astype(np.float64)[..., None]
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


def upsample_logits(
    graph: Graph, features: Value, guidance: NDArray[np.uint8], text: Floats, constants: Loftup
) -> Floats:
    """Class similarities at the guidance's resolution.

    Guidance of more than WHOLE_PIXELS pixels goes through the graph in tiles, with the same result.

    Args:
        graph: the bundle's `loftup` graph.
        features: f32 (B, D, h, w), CLIP's patch features, as an array or on a device.
        guidance: u8 (B, H, W, 3), the windows themselves.
        text: f32 (C, D), unit length.
        constants: the bundle's.

    Returns:
        f32 (B, C, H, W), cosine similarities.
    """
    keys = features.shape[2] * features.shape[3]
    found = tables(guidance, (features.shape[2], features.shape[3]), constants)
    height, width = guidance.shape[1:3]
    fixed: dict[str, Value] = {
        "features": features,
        "colour_table": found.colour,
        "key_table": found.key,
        "text": text,
    }
    tile = tile_side(height * width, keys)
    if tile is None:
        named: dict[str, Value] = {"guidance": guidance, "row_table": found.row, "column_table": found.column}
        return graph.run({**fixed, **named})["logits"]
    out = np.empty((features.shape[0], len(text), height, width), np.float32)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            rows, inner_rows = _with_halo(y, tile, height)
            columns, inner_columns = _with_halo(x, tile, width)
            part: dict[str, Value] = {
                "guidance": np.ascontiguousarray(guidance[:, rows, columns]),
                "row_table": found.row[rows],
                "column_table": found.column[columns],
            }
            logits = graph.run({**fixed, **part})["logits"]
            out[:, :, y : y + tile, x : x + tile] = logits[:, :, inner_rows, inner_columns]
    return out


def tile_side(pixels: int, keys: int) -> int | None:
    """Side of the tiles that keep the attention scores within SCORE_BYTES; None if none are needed."""
    affordable = SCORE_BYTES // (keys * 4 * 4)
    if pixels <= min(WHOLE_PIXELS, affordable):
        return None
    return max(16, int(min(WHOLE_PIXELS // 4, affordable) ** 0.5) - 2 * HALO)


def _with_halo(start: int, length: int, limit: int) -> tuple[slice, slice]:
    """A tile's span widened by the halo but not past the photo's border, and where the tile lies in it.

    At the photo's border the convolutions' own zero padding is what LoftUp means; a halo there would be wrong.
    """
    stop = min(start + length, limit)
    first, last = max(start - HALO, 0), min(stop + HALO, limit)
    return slice(first, last), slice(start - first, stop - first)
