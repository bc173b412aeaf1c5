"""Upsampled features of a whole photo, which the pipeline itself never holds.

A map of D channels is large: 512 of them over a photo of two megapixels take 4 GB. So it is made window by window and
enlarged a few channels at a time, and a large array does not lie in memory but in a temporary file.
"""

from __future__ import annotations

import math
import os
import tempfile

import numpy as np

from wordmask.arrays import Floats, Photo
from wordmask.backends import Graph
from wordmask.bundle.manifest import Clip
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import Upsampler, upsample_tiles
from wordmask.dense.windows import cut_windows
from wordmask.resize import bilinear

IN_MEMORY = 1 << 30  # bytes of an array that is simply kept in memory
CHANNELS_A_TIME = 8


def upsampled_features(resized: Photo, clip: Graph, constants: Clip, loftup: Upsampler, windows_a_run: int) -> Floats:
    """LoftUp's features of a photo, of unit length in each window, averaged where windows overlap.

    Args:
        resized: u8 (H, W, 3), the photo resized for CLIP.
        clip: the bundle's `clip_image`.
        constants: the bundle's.
        loftup: with the bundle's `loftup_features`.
        windows_a_run: windows that go through CLIP together.

    Returns:
        f32 (D, H, W); their product with unit embeddings of words is the words' cosine similarity.
    """
    windows, corners = cut_windows(resized, constants)
    height, width = resized.shape[:2]
    total, count = allocate((constants.dim, height, width)), np.zeros((height, width), np.float32)
    for start in range(0, len(windows), windows_a_run):
        part = windows[start : start + windows_a_run]
        for tile, values in upsample_tiles(loftup, encode_windows(clip, part), part):
            top, left = corners[start + tile.window]
            y, x = top + tile.rows.start, left + tile.columns.start
            inside = values[:, : max(height - y, 0), : max(width - x, 0)]  # a window may reach beyond the photo
            span = slice(y, y + inside.shape[1]), slice(x, x + inside.shape[2])
            total[:, *span] += inside / np.maximum(np.linalg.norm(inside, axis=0), 1e-12)
            count[span] += 1
    total /= count
    return total


def enlarge(maps: Floats, size: tuple[int, int], scale: float = 1.0) -> Floats:
    """Resizes maps f32 (N, h, w) bilinearly, times a scale: f32 (N, H, W), allocated as by `allocate`."""
    out = allocate((len(maps), *size))
    for start in range(0, len(maps), CHANNELS_A_TIME):
        channels = slice(start, start + CHANNELS_A_TIME)
        out[channels] = bilinear(maps[channels] * np.float32(scale), size)
    return out


def allocate(shape: tuple[int, ...]) -> Floats:
    """Zeros, f32. Above 1 GiB they lie in a temporary file ($TMPDIR) without a name, which goes with the array.

    Raises:
        OSError: the file system has no room for it.
    """
    size = 4 * math.prod(shape)
    if size <= IN_MEMORY:
        return np.zeros(shape, np.float32)
    with tempfile.TemporaryFile() as file:
        if hasattr(os, "posix_fallocate"):  # on Linux; else a full disk ends the process when the array is written to
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, np.float32, "r+", shape=shape)
