"""The dense branch: cosine similarities of each pixel of a photo with each word. Composes CLIP and LoftUp.

CLIP encodes the photo window by window. LoftUp upsamples each window, or the stitched features of the whole photo
(`upsample_scope`); everywhere, or only on tiles where the bilinear map is undecided (`upsample`). The similarities are
those with the words or, for a large vocabulary, with a basis of their space (see wordmask.dense.similarities).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats, Photo
from wordmask.backends import Graph, Value, to_host
from wordmask.bundle.manifest import MIN_TILE, Clip
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import Upsampler, tile_is_window, upsample_logits, window_inputs
from wordmask.dense.similarities import Words
from wordmask.dense.stitching import stitch, stitch_features
from wordmask.dense.tile_selection import undecided
from wordmask.dense.windows import cut_windows
from wordmask.resize import bilinear
from wordmask.timing import StageTimer

MARGIN, BORDER = 3.0, 16  # of selective upsampling, see undecided; other values: benchmarks/NOTES.md
MAX_UNDECIDED_SHARE = 1 / 3  # of the pixels: above it nearly all tiles would be selected, and small ones cost more


@dataclass(frozen=True, eq=False)
class DenseBranch:
    """CLIP's graph and its constants, for one photo.

    Attributes:
        windows_a_run: the number of windows that go through CLIP together.
        threads: of the arithmetic outside the graphs.
        keep: outputs that may stay on CLIP's device, because LoftUp runs there.
        timer: takes the seconds of each stage.
    """

    clip: Graph
    constants: Clip
    windows_a_run: int
    threads: int
    keep: tuple[str, ...]
    timer: StageTimer

    def bilinear(self, resized: Photo, words: Words) -> Floats:
        """Similarities f32 (C, H, W) of a resized photo u8 (H, W, 3), upsampled bilinearly from the patches'."""
        windows, corners = cut_windows(resized, self.constants)
        batches = [self._bilinear_windows(to_host(found), words) for _, found in self._encode(windows, ())]
        with self.timer.measure("class_map"):
            return self._stitch(batches, corners, resized)

    def upsample_windows(self, resized: Photo, words: Words, upsampler: Upsampler) -> Floats:
        """Similarities f32 (C, H, W), upsampled by LoftUp window by window."""
        windows, corners = cut_windows(resized, self.constants)
        batches = []
        for part, found in self._encode(windows, self.keep):
            with self.timer.measure("loftup"):
                batches.append(upsample_logits(upsampler, found, part, words.basis))
        with self.timer.measure("class_map"):
            return self._stitch(batches, corners, resized)

    def upsample_on_device(
        self, resized: Photo, words: Words, upsampler: Upsampler
    ) -> tuple[Value, list[tuple[int, int]]] | None:
        """Similarities f32 (B, C, S, S) of the windows, left on LoftUp's device, and the windows' corners.

        None where one run of LoftUp cannot take all windows of the photo whole.
        """
        windows, corners = cut_windows(resized, self.constants)
        side, loftup = self.constants.window, upsampler.constants
        grid = (side // self.constants.patch, side // self.constants.patch)
        if len(windows) > self.windows_a_run or not tile_is_window(side, grid, loftup, upsampler.tiling):
            return None
        with ThreadPoolExecutor(1, "tables") as beside:  # while CLIP runs
            inputs = beside.submit(window_inputs, windows, grid, loftup)
            ((_, features),) = self._encode(windows, self.keep)
            with self.timer.measure("loftup"):
                fed = {**inputs.result(), "features": features, "text": words.basis}
                return upsampler.graph.run(fed, keep=("logits",))["logits"], corners

    def upsample_selected(
        self, resized: Photo, words: Words, upsampler: Upsampler, *, selective: bool, whole_photo: bool
    ) -> Floats:
        """Similarities f32 (C, H, W), upsampled by LoftUp where the bilinear map is undecided, bilinearly elsewhere.

        Args:
            resized: u8 (H, W, 3).
            words: to compare with.
            upsampler: LoftUp.
            selective: False takes LoftUp everywhere.
            whole_photo: LoftUp works on the stitched features of the photo instead of on each window.
        """
        windows, corners = cut_windows(resized, self.constants)
        features = np.concatenate([to_host(found) for _, found in self._encode(windows, ())])
        known: Floats | None = None
        wanted: BoolMask | None = None
        if selective:
            with self.timer.measure("selection"):
                known = self._bilinear_windows(features, words)
                joined = self._stitch([known], corners, resized)
                wanted = self._undecided(joined, words)
                if wanted.mean() > MAX_UNDECIDED_SHARE:
                    known = wanted = None
                elif whole_photo:
                    known, wanted = joined[None], wanted[None]
                else:
                    wanted = _cut(wanted, corners, windows.shape[1])
        if wanted is not None:
            upsampler = replace(upsampler, tiling=replace(upsampler.tiling, side=MIN_TILE))  # follow outlines closely
        with self.timer.measure("loftup"):
            if whole_photo:
                side, patch = self.constants.window, self.constants.patch
                whole = stitch_features(features, corners, resized.shape[:2], window=side, patch=patch)
                return np.asarray(
                    upsample_logits(upsampler, whole, resized[None], words.basis, bilinear=known, wanted=wanted)[0]
                )
            tiles = upsample_logits(upsampler, features, windows, words.basis, bilinear=known, wanted=wanted)
        with self.timer.measure("class_map"):
            return self._stitch([tiles], corners, resized)

    def _undecided(self, similarities: Floats, words: Words) -> BoolMask:
        scale, projection = self.constants.logit_scale, words.projection
        return undecided(similarities, words.class_starts, scale, margin=MARGIN, border=BORDER, projection=projection)

    def _stitch(self, batches: Sequence[Floats], corners: Sequence[tuple[int, int]], resized: Photo) -> Floats:
        tiles = [tile for batch in batches for tile in batch]
        return stitch(tiles, corners, (resized.shape[0], resized.shape[1]), threads=self.threads)

    def _encode(self, windows: NDArray[np.uint8], keep: tuple[str, ...]) -> Iterator[tuple[NDArray[np.uint8], Value]]:
        """Batches of windows with their features."""
        for start in range(0, len(windows), self.windows_a_run):
            part = windows[start : start + self.windows_a_run]
            with self.timer.measure("clip"):
                found = encode_windows(self.clip, part, keep)
            yield part, found

    def _bilinear_windows(self, features: Floats, words: Words) -> Floats:
        """Similarities f32 (N, C, S, S) of windows, upsampled bilinearly from the patches'."""
        unit: Floats = features / np.linalg.norm(features, axis=1, keepdims=True)
        patches = np.ascontiguousarray(unit.reshape(*unit.shape[:2], -1).transpose(0, 2, 1))  # (N, h*w, D)
        # not a matrix product: OpenBLAS rounds differently with other numbers of threads
        logits = np.stack([np.einsum("pd,cd->cp", window, words.basis) for window in patches])
        logits = logits.reshape(len(unit), -1, *unit.shape[2:])  # (N, C, h, w)
        return bilinear(logits, (self.constants.window, self.constants.window))


def _cut(mask: BoolMask, corners: Sequence[tuple[int, int]], side: int) -> BoolMask:
    """A mask (H, W) of the photo cut into its windows (N, side, side); beyond the photo it is False."""
    cut = np.zeros((len(corners), side, side), np.bool_)
    for target, (y, x) in zip(cut, corners, strict=True):
        part = mask[y : y + side, x : x + side]
        target[: part.shape[0], : part.shape[1]] = part
    return cut
