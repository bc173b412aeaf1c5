"""The dense branch: the similarity of each pixel of a photo with each word. Composes CLIP and LoftUp.

CLIP sees the photo window by window. LoftUp sharpens each window, or the stitched features of the whole photo in one
pass (`upsample_scope`); everywhere, or only on tiles where the bilinear map is undecided (`upsample`). The similarities
that come out are those with the words, or, of a large vocabulary, with what theirs are made of (see similarities).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats, Photo
from wordmask.backends import Graph, Value, to_host
from wordmask.bundle.manifest import Clip, Loftup
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import Tiling, tile_is_window, upsample_logits, window_inputs
from wordmask.dense.similarities import Words
from wordmask.dense.stitching import stitch, stitch_features
from wordmask.dense.tile_selection import undecided
from wordmask.dense.windows import cut_windows
from wordmask.resize import bilinear

MARGIN, BORDER = 3.0, 16  # of selective upsampling, see undecided; what others give: benchmarks/NOTES.md
CHOSEN_TILE = 32  # pixels: smaller tiles follow outlines more closely
MOSTLY = 1 / 3  # of the pixels undecided: nearly all tiles would be chosen, and small ones cost more

Measure = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class Upsampler:
    """LoftUp's graph, its constants, and how it is fed."""

    graph: Graph
    constants: Loftup
    tiling: Tiling


@dataclass(frozen=True, eq=False)
class DenseBranch:
    """CLIP's graph with its constants.

    Attributes:
        windows_a_run: windows that go through CLIP together.
        threads: of arithmetic outside the graphs.
        keep: outputs that may stay on CLIP's device, because LoftUp runs there.
    """

    clip: Graph
    constants: Clip
    windows_a_run: int
    threads: int
    keep: tuple[str, ...]

    def bilinear(self, resized: Photo, words: Words, measure: Measure) -> Floats:
        """Similarities f32 (C, H, W) of a resized photo u8 (H, W, 3), the patches' upsampled bilinearly."""
        windows, corners = cut_windows(resized, self.constants)
        batches = [self._plain(to_host(found), words) for _, found in self._encode(windows, (), measure)]
        with measure("class_map"):
            return self._stitch(batches, corners, resized)

    def sharpened(self, resized: Photo, words: Words, upsampler: Upsampler, measure: Measure) -> Floats:
        """The same, upsampled by LoftUp window by window."""
        windows, corners = cut_windows(resized, self.constants)
        batches = []
        for part, found in self._encode(windows, self.keep, measure):
            with measure("loftup"):
                batches.append(_upsample(upsampler, found, part, words))
        with measure("class_map"):
            return self._stitch(batches, corners, resized)

    def on_device(
        self, resized: Photo, words: Words, upsampler: Upsampler, measure: Measure
    ) -> tuple[Value, list[tuple[int, int]]] | None:
        """Windows' similarities f32 (B, C, S, S) left on LoftUp's device, and the windows' corners.

        None where one run of LoftUp cannot take all windows of the photo whole.
        """
        windows, corners = cut_windows(resized, self.constants)
        side, loftup = self.constants.window, upsampler.constants
        grid = (side // self.constants.patch, side // self.constants.patch)
        if len(windows) > self.windows_a_run or not tile_is_window(side, grid, loftup, upsampler.tiling):
            return None
        with ThreadPoolExecutor(1, "tables") as beside:  # while CLIP runs
            inputs = beside.submit(window_inputs, windows, grid, loftup)
            ((_, features),) = self._encode(windows, self.keep, measure)
            with measure("loftup"):
                fed = {**inputs.result(), "features": features, "text": words.probes}
                return upsampler.graph.run(fed, keep=("logits",))["logits"], corners

    def chosen(
        self,
        resized: Photo,
        words: Words,
        upsampler: Upsampler,
        measure: Measure,
        *,
        selective: bool,
        whole_photo: bool,
    ) -> Floats:
        """The same, upsampled by LoftUp where the bilinear map is undecided, or over the whole photo in one pass."""
        windows, corners = cut_windows(resized, self.constants)
        features = np.concatenate([to_host(found) for _, found in self._encode(windows, (), measure)])
        plain = wanted = None
        if selective:
            with measure("selection"):
                plain = self._plain(features, words)
                joined = self._stitch([plain], corners, resized)
                scale = self.constants.logit_scale
                open_ = undecided(joined, words.class_starts, scale, margin=MARGIN, border=BORDER, mixing=words.mixing)
                if open_.mean() > MOSTLY:
                    plain = None
                elif whole_photo:
                    plain, wanted = joined[None], open_[None]
                else:
                    wanted = _cut(open_, corners, windows.shape[1])
        with measure("loftup"):
            if whole_photo:
                side, patch = self.constants.window, self.constants.patch
                whole = stitch_features(features, corners, resized.shape[:2], window=side, patch=patch)
                (logits,) = _upsample(upsampler, whole, resized[None], words, plain, wanted)
                return np.asarray(logits)
            tiles = _upsample(upsampler, features, windows, words, plain, wanted)
        with measure("class_map"):
            return self._stitch([tiles], corners, resized)

    def _stitch(self, batches: Sequence[Floats], corners: Sequence[tuple[int, int]], resized: Photo) -> Floats:
        tiles = [tile for batch in batches for tile in batch]
        return stitch(tiles, corners, (resized.shape[0], resized.shape[1]), threads=self.threads)

    def _encode(
        self, windows: NDArray[np.uint8], keep: tuple[str, ...], measure: Measure
    ) -> Iterator[tuple[NDArray[np.uint8], Value]]:
        """Windows with their features, as many as CLIP takes in a run."""
        for start in range(0, len(windows), self.windows_a_run):
            part = windows[start : start + self.windows_a_run]
            with measure("clip"):
                found = encode_windows(self.clip, part, keep)
            yield part, found

    def _plain(self, features: Floats, words: Words) -> Floats:
        """Similarities f32 (N, C, S, S) of windows, the patches' upsampled bilinearly."""
        unit: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
        patches = np.ascontiguousarray(unit.reshape(*unit.shape[:2], -1).transpose(0, 2, 1))  # (N, h*w, D)
        # not a matrix product: OpenBLAS rounds differently with other numbers of threads
        logits = np.stack([np.einsum("pd,cd->cp", window, words.probes) for window in patches])
        logits = logits.reshape(len(unit), -1, *unit.shape[2:])  # (N, C, h, w)
        return bilinear(logits, (self.constants.window, self.constants.window))


def _upsample(
    upsampler: Upsampler,
    features: Value,
    guidance: NDArray[np.uint8],
    words: Words,
    plain: Floats | None = None,
    wanted: BoolMask | None = None,
) -> Floats:
    graph, constants, tiling = upsampler.graph, upsampler.constants, upsampler.tiling
    if wanted is not None:
        tiling = replace(tiling, side=CHOSEN_TILE)
    return upsample_logits(graph, features, guidance, words.probes, constants, tiling, plain=plain, wanted=wanted)


def _cut(mask: BoolMask, corners: Sequence[tuple[int, int]], side: int) -> BoolMask:
    """A mask (H, W) of the photo cut into its windows (N, side, side); beyond the photo it is False."""
    cut = np.zeros((len(corners), side, side), np.bool_)
    for target, (y, x) in zip(cut, corners, strict=True):
        part = mask[y : y + side, x : x + side]
        target[: part.shape[0], : part.shape[1]] = part
    return cut
