"""LoftUp in the runtime: its graph over windows, over a whole photo, or over selected tiles of either.

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
from wordmask.bundle.manifest import HALO, Loftup
from wordmask.dense.loftup_tables import Tables, tables

SCORE_BYTES = 256 << 20  # attention scores that a tile may take
CPU_TILE, GPU_TILE = 64, 512  # pixels of a tile's side, at most; on a CPU its activations stay in the caches
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Tiling:
    """The largest side of a tile in pixels, and the number of tiles that go through the graph together."""

    side: int
    batch: int


@dataclass(frozen=True, eq=False)
class Upsampler:
    """The graph `loftup` or `loftup_features` of a bundle, its constants, and its tiles, which no result depends on."""

    graph: Graph
    constants: Loftup
    tiling: Tiling


@dataclass(frozen=True)
class Tile:
    """A part of a window: the window's index, and the rows and columns of its pixels."""

    window: int
    rows: slice
    columns: slice


@dataclass(frozen=True, eq=False)
class Canvas:
    """Windows widened by the halo and up to a whole number of tiles, so that a tile is a slice.

    Attributes:
        guidance: u8 (B, H', W', 3). inside: f32 (H', W'), 1 in the window, 0 around it.
        tables: of the windows; row (H', 2F) and column (W', 2F) are widened like the guidance.
        size: height and width of the windows themselves.
        height, width: of a tile, even.
    """

    guidance: NDArray[np.uint8]
    inside: Floats
    tables: Tables
    size: tuple[int, int]
    height: int
    width: int

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
            size=(guidance.shape[1], guidance.shape[2]),
            height=height,
            width=width,
        )

    def tiles(self, wanted: BoolMask | None = None) -> list[Tile]:
        """The tiles, window by window; only those with a pixel of wanted (B, H, W) where that is given."""
        height, width = self.size
        tiles = [
            Tile(window, slice(y, min(y + self.height, height)), slice(x, min(x + self.width, width)))
            for window in range(len(self.guidance))
            for y in range(0, height, self.height)
            for x in range(0, width, self.width)
        ]
        return tiles if wanted is None else [t for t in tiles if wanted[t.window, t.rows, t.columns].any()]

    def inputs(self, tiles: list[Tile]) -> Arrays:
        """The graph's inputs for tiles, but for features and text; see wordmask.dense.loftup_tables."""
        rows = [slice(tile.rows.start, tile.rows.start + self.height + 2 * HALO) for tile in tiles]
        columns = [slice(tile.columns.start, tile.columns.start + self.width + 2 * HALO) for tile in tiles]
        return {
            "guidance": np.stack([self.guidance[t.window, r, c] for t, r, c in zip(tiles, rows, columns, strict=True)]),
            "inside": np.stack([self.inside[r, c] for r, c in zip(rows, columns, strict=True)]),
            "colour_table": self.tables.colour[[tile.window for tile in tiles]],
            "row_table": np.stack([self.tables.row[r] for r in rows]),
            "column_table": np.stack([self.tables.column[c] for c in columns]),
            "key_table": self.tables.key,
        }


def window_inputs(guidance: NDArray[np.uint8], grid: tuple[int, int], constants: Loftup) -> Arrays:
    """The graph's inputs for whole windows u8 (B, H, W, 3), but for features and text. H and W must be even."""
    canvas = Canvas.of(guidance, grid, constants, max(guidance.shape[1:3]))
    return canvas.inputs(canvas.tiles())


def tile_is_window(window: int, grid: tuple[int, int], constants: Loftup, tiling: Tiling) -> bool:
    """Whether a window of that side is one tile: its attention scores fit into SCORE_BYTES."""
    return window % 2 == 0 and window <= min(tiling.side, _largest_side(grid, constants))


def upsample_tiles(
    upsampler: Upsampler,
    features: Value,
    guidance: NDArray[np.uint8],
    *,
    text: Floats | None = None,
    wanted: BoolMask | None = None,
) -> Iterator[tuple[Tile, Floats]]:
    """Runs LoftUp's graph tile by tile.

    Args:
        upsampler: of the graph `loftup` with text, of `loftup_features` without.
        features: f32 (B, D, h, w), the encoder's patch features, as an array or on a device.
        guidance: u8 (B, H, W, 3), the windows themselves.
        text: f32 (C, D), unit length.
        wanted: bool (B, H, W): tiles without one of these pixels are left out.

    Yields:
        A tile and its pixels' cosine similarities with the text f32 (C, h, w), or features f32 (D, h, w).
    """
    canvas = Canvas.of(guidance, (features.shape[2], features.shape[3]), upsampler.constants, upsampler.tiling.side)
    shared, output = ({}, "features_out") if text is None else ({"text": text}, "logits")
    tiles, batch = canvas.tiles(wanted), upsampler.tiling.batch
    for some in (tiles[start : start + batch] for start in range(0, len(tiles), batch)):
        windows = [tile.window for tile in some]
        own = features if windows == list(range(len(guidance))) else to_host(features)[windows]
        found = to_host(upsampler.graph.run({**canvas.inputs(some), "features": own, **shared})[output])
        for tile, values in zip(some, found, strict=True):  # beyond the window a tile holds nothing
            yield tile, values[:, : tile.rows.stop - tile.rows.start, : tile.columns.stop - tile.columns.start]


def upsample_logits(
    upsampler: Upsampler,
    features: Value,
    guidance: NDArray[np.uint8],
    text: Floats,
    *,
    bilinear: Floats | None = None,
    wanted: BoolMask | None = None,
) -> Floats:
    """Cosine similarities f32 (B, C, H, W) at the guidance's resolution; see upsample_tiles.

    Tiles that are not wanted are those of `bilinear`, f32 (B, C, H, W).
    """
    count, height, width = guidance.shape[:3]
    out = np.empty((count, len(text), height, width), np.float32) if bilinear is None else bilinear.copy()
    for tile, logits in upsample_tiles(upsampler, features, guidance, text=text, wanted=wanted):
        out[tile.window, :, tile.rows, tile.columns] = logits
    return out


def _largest_side(grid: tuple[int, int], constants: Loftup) -> int:
    """Of a tile, in pixels, even."""
    affordable = SCORE_BYTES // (grid[0] * grid[1] * constants.heads * 4)
    return max(16, math.isqrt(affordable) // 2 * 2)


def _even_parts(length: int, most: int) -> tuple[int, int]:
    """Size and number of equal even parts, of at most `most` (or 2 above), that cover a length."""
    count = -(-length // most)
    return 2 * -(-length // (2 * count)), count
