"""One map of a whole photo from the maps of its windows: of features, or of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats


def stitch_features(
    features: Floats, corners: Sequence[tuple[int, int]], size: tuple[int, int], *, window: int, patch: int
) -> Floats:
    """Averages the windows' features on a grid of patches that spans the photo.

    The grid's cells need not fall on a window's patches (its last windows are shifted back): each window is sampled
    bilinearly at the centres of the cells it covers.

    Args:
        features: f32 (N, D, h, w).
        corners: (y, x) of each window's top left, in pixels of the resized photo.
        size: height and width of the resized photo.
        window: side of a window in pixels.
        patch: side of a patch in pixels.

    Returns:
        f32 (1, D, rows, columns).
    """
    centres = [_centres(length, patch) for length in size]
    total = np.zeros((features.shape[1], *(len(axis) for axis in centres)), np.float32)
    count = np.zeros(total.shape[1:], np.float32)
    for part, corner in zip(features, corners, strict=True):
        spans, mixes = zip(
            *(_sampling(axis, start, window, patch) for axis, start in zip(centres, corner, strict=True)), strict=True
        )
        total[:, *spans] += mixes[0] @ part @ mixes[1].T  # (D, rows covered, columns covered)
        count[*spans] += 1
    total /= count
    return total[None]


def _centres(length: int, patch: int) -> NDArray[np.float64]:
    """Centres of the cells of about a patch that divide a side, in pixels."""
    count = -(-length // patch)
    return (np.arange(count, dtype=np.float64) + 0.5) * (length / count)


def _sampling(centres: NDArray[np.float64], start: int, window: int, patch: int) -> tuple[slice, Floats]:
    """The cells that a window covers along an axis, and the weights (cells, patches) of its patches in each."""
    covered = np.flatnonzero((centres >= start) & (centres < start + window))
    patches = window // patch
    position = np.clip((centres[covered] - start) / patch - 0.5, 0, patches - 1)
    before = np.minimum(position.astype(int), max(patches - 2, 0))
    weight = position - before
    mix = np.zeros((len(covered), patches), np.float32)
    rows = np.arange(len(covered))
    mix[rows, before] = 1 - weight
    mix[rows, np.minimum(before + 1, patches - 1)] += weight
    return slice(int(covered[0]), int(covered[-1]) + 1), mix


def stitch(
    tiles: Sequence[Floats] | Floats, corners: Sequence[tuple[int, int]], size: tuple[int, int], *, threads: int = 1
) -> Floats:
    """Averages windows where they overlap.

    Args:
        tiles: f32 (C, S, S) of each window.
        corners: (y, x) of each window's top left.
        size: height and width of the resized photo; what a window has beyond it is cropped.
        threads: classes worked on at the same time; the result does not depend on it.

    Returns:
        f32 (C, height, width).
    """
    height, width = size
    side = tiles[0].shape[1]
    spans = [(slice(y, min(y + side, height)), slice(x, min(x + side, width))) for y, x in corners]
    count = np.zeros(size, np.float32)
    for span in spans:
        count[span] += 1
    out = np.empty((len(tiles[0]), height, width), np.float32)

    def work(k: int) -> None:
        plane = np.zeros(size, np.float32)  # stays in the cache
        for tile, span in zip(tiles, spans, strict=True):
            part = plane[span]
            part += tile[k, : part.shape[0], : part.shape[1]]
        np.divide(plane, count, out=out[k])

    with ThreadPoolExecutor(threads, "stitch") as pool:
        list(pool.map(work, range(len(out))))
    return out
