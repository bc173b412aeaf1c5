"""LoftUp in the runtime: its graph over windows, over a whole photo, or over chosen tiles of either.

LoftUp's value at a pixel depends on the 5x5 pixels around it, on the extremes of each colour and on the low-resolution
features. So a tile with a halo of 2 pixels gives exactly what the whole gives; memory is that of a tile, a processor's
caches hold it, and tiles that are not needed need not be computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.backends import Graph, Value, to_host
from wordmask.bundle.manifest import Loftup
from wordmask.dense.loftup_tables import Tables, tables

HALO = 2  # pixels that two 3x3 convolutions see beyond a tile
SCORE_BYTES = 256 << 20  # attention scores that a tile may take
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tiling:
    """How a graph is best fed: the largest side of a tile in pixels, and the most tiles a run."""

    side: int
    batch: int


@dataclass(frozen=True)
class Place:
    """A tile: which window, and its top left corner in it."""

    window: int
    y: int
    x: int


@dataclass(frozen=True, eq=False)
class Canvas:
    """Windows widened by the halo and up to a whole number of tiles, so that a tile is a slice.

    Attributes:
        guidance: u8 (B, H', W', 3). inside: f32 (H', W'), 1 in the window, 0 around it.
        tables: of the windows; row (H', 2F) and column (W', 2F) are widened like the guidance.
        height, width: of a tile, even.
        rows, columns: tiles from top to bottom and from left to right.
    """

    guidance: NDArray[np.uint8]
    inside: Floats
    tables: Tables
    height: int
    width: int
    rows: int
    columns: int

    @classmethod
    def of(cls, guidance: NDArray[np.uint8], grid: tuple[int, int], constants: Loftup, side: int) -> Canvas:
        """Lays tiles of at most `side` pixels over windows u8 (B, H, W, 3), with features of the given grid."""
        side = min(side, _largest_side(grid, constants))
        (height, rows), (width, columns) = (_even_parts(length, side) for length in guidance.shape[1:3])
        found = tables(guidance, grid, constants)
        below = (HALO, HALO + rows * height - guidance.shape[1])
        right = (HALO, HALO + columns * width - guidance.shape[2])
        rows_padded, columns_padded = np.pad(found.row, (below, (0, 0))), np.pad(found.column, (right, (0, 0)))
        return cls(
            guidance=np.pad(guidance, ((0, 0), below, right, (0, 0))),
            inside=np.pad(np.ones(guidance.shape[1:3], np.float32), (below, right)),
            tables=Tables(found.colour, rows_padded, columns_padded, found.key),
            height=height,
            width=width,
            rows=rows,
            columns=columns,
        )

    def places(self, wanted: BoolMask | None = None) -> list[Place]:
        """The tiles, window by window; of those with a pixel of wanted (B, H, W) where that is given."""
        return [
            Place(window, y, x)
            for window in range(len(self.guidance))
            for y in range(0, self.rows * self.height, self.height)
            for x in range(0, self.columns * self.width, self.width)
            if wanted is None or wanted[window, y : y + self.height, x : x + self.width].any()
        ]

    def cut(self, places: list[Place]) -> Arrays:
        """The graph's inputs for tiles, but for features and text; see wordmask.dense.loftup_tables."""
        spans = [(slice(p.y, p.y + self.height + 2 * HALO), slice(p.x, p.x + self.width + 2 * HALO)) for p in places]
        return {
            "guidance": np.stack([self.guidance[p.window, *span] for p, span in zip(places, spans, strict=True)]),
            "inside": np.stack([self.inside[span] for span in spans]),
            "colour_table": self.tables.colour[[p.window for p in places]],
            "row_table": np.stack([self.tables.row[rows] for rows, _ in spans]),
            "column_table": np.stack([self.tables.column[columns] for _, columns in spans]),
            "key_table": self.tables.key,
        }


def window_inputs(guidance: NDArray[np.uint8], grid: tuple[int, int], constants: Loftup) -> Arrays:
    """The graph's inputs for whole windows u8 (B, H, W, 3), but for features and text. H and W must be even."""
    canvas = Canvas.of(guidance, grid, constants, max(guidance.shape[1:3]))
    return canvas.cut(canvas.places())


def tile_is_window(window: int, grid: tuple[int, int], constants: Loftup, tiling: Tiling) -> bool:
    """Whether the graph is fed windows of that side whole: their attention scores fit into SCORE_BYTES."""
    return window % 2 == 0 and window <= min(tiling.side, _largest_side(grid, constants))


def upsample_logits(
    graph: Graph,
    features: Value,
    guidance: NDArray[np.uint8],
    text: Floats,
    constants: Loftup,
    tiling: Tiling,
    *,
    plain: Floats | None = None,
    wanted: BoolMask | None = None,
) -> Floats:
    """Class similarities at the guidance's resolution.

    Args:
        graph: the bundle's `loftup` graph.
        features: f32 (B, D, h, w), CLIP's patch features, as an array or on a device.
        guidance: u8 (B, H, W, 3), the windows themselves.
        text: f32 (C, D), unit length.
        constants: the bundle's.
        tiling: how the graph is fed; does not change the results.
        plain: f32 (B, C, H, W), the similarities where LoftUp is not evaluated.
        wanted: bool (B, H, W): LoftUp is evaluated on the tiles that hold one of these pixels; on all without it.

    Returns:
        f32 (B, C, H, W), cosine similarities.
    """
    canvas = Canvas.of(guidance, (features.shape[2], features.shape[3]), constants, tiling.side)
    count, height, width = guidance.shape[:3]
    out = np.empty((count, len(text), height, width), np.float32) if plain is None else plain.copy()
    for places in _batches(canvas.places(wanted), tiling.batch):
        windows = [place.window for place in places]
        own = features if windows == list(range(count)) else to_host(features)[windows]
        logits = graph.run({**canvas.cut(places), "features": own, "text": text})["logits"]
        for place, part in zip(places, logits, strict=True):
            target = out[place.window, :, place.y : place.y + canvas.height, place.x : place.x + canvas.width]
            target[:] = part[:, : target.shape[1], : target.shape[2]]
    return out


def _largest_side(grid: tuple[int, int], constants: Loftup) -> int:
    """Of a tile, in pixels, even."""
    affordable = SCORE_BYTES // (grid[0] * grid[1] * constants.heads * 4)
    return max(16, math.isqrt(affordable) // 2 * 2)


def _batches(places: list[Place], size: int) -> Iterator[list[Place]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _even_parts(length: int, most: int) -> tuple[int, int]:
    """Size and number of equal even parts, of at most `most` (or 2 above), that cover a length."""
    count = -(-length // most)
    return 2 * -(-length // (2 * count)), count
