"""Upsampled features of photos: an encoder, LoftUp, and no words. Composes the stages as `dense` does for class maps.

The upsampler's authors show the whole photo as one square window (aspect not kept), and so does this unless asked to
keep the photo's proportions and encode it in overlapping windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.arrays import Floats, Photo
from wordmask.backends import to_host
from wordmask.backends.auto import resolve_device
from wordmask.backends.device import parse_device
from wordmask.backends.load import load_graph
from wordmask.bundle.domains import FEATURES, warn_of_weights
from wordmask.bundle.manifest import FeaturesManifest
from wordmask.bundle.opening import AnyBundle, open_any_bundle
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import CPU_TILE, GPU_TILE, Tiling, Upsampler, upsample_tiles
from wordmask.dense.stitching import stitch_features
from wordmask.dense.windows import cut_windows
from wordmask.errors import BundleError

Dtype = Literal["float16", "float32"]
GRAPHS = ("clip_image", "backbone_image", "loftup_features")  # that run, of which a bundle has two


@dataclass(frozen=True)
class Windowing:
    """How an encoder takes photos, in pixels: its window, their step, and a patch. dim: channels of its features."""

    window: int
    stride: int
    patch: int
    dim: int


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of one photo.

    Attributes:
        photo: u8 (H, W, 3), as LoftUp saw it.
        low: f32 (D, h, w), the encoder's.
        high: f16 or f32 (D, H, W), upsampled.
    """

    photo: Photo
    low: Floats
    high: NDArray[Any]


class Featurizer:
    """An encoder and its LoftUp from a bundle of either kind."""

    def __init__(
        self, bundle: str | Path | AnyBundle | None = None, *, device: str = "cpu", threads: int | None = None
    ) -> None:
        """Loads the two graphs.

        Args:
            bundle: a folder or a name (see wordmask.bundle.find_bundle).
            device: for both; see wordmask.Segmenter.
            threads: CPU threads of one graph; all cores by default.

        Raises:
            BundleError: the bundle is missing, damaged, or without LoftUp's features.
            DeviceError, EngineError, MissingExtraError: see wordmask.Segmenter.
        """
        opened = open_any_bundle(bundle) if bundle is None or isinstance(bundle, str | Path) else bundle
        warn_of_weights(opened.manifest.bundle_id, FEATURES.get(opened.manifest.domain))
        loftup = opened.manifest.loftup
        if loftup is None or "loftup_features" not in opened.manifest.graphs:
            raise BundleError(f"{opened.folder}: the bundle was built without LoftUp, which upsamples the features")
        if isinstance(opened.manifest, FeaturesManifest):
            backbone, encoder = opened.manifest.backbone, "backbone_image"
            self.windowing = Windowing(backbone.window, backbone.window // 2, backbone.patch, backbone.dim)
        else:
            clip, encoder = opened.manifest.clip, "clip_image"
            self.windowing = Windowing(clip.window, clip.stride, clip.patch, clip.dim)
        place = parse_device(resolve_device(device, opened, GRAPHS))
        self._encoder, graph = (
            load_graph(opened, name, place, threads=threads) for name in (encoder, "loftup_features")
        )
        self._loftup = Upsampler(graph, loftup, Tiling(CPU_TILE if place.on_cpu else GPU_TILE, 1))
        self.domain = opened.manifest.domain

    def __call__(self, photo: Photo, *, size: tuple[int, int] | None = None, dtype: Dtype = "float16") -> FeatureMaps:
        """Features of a photo u8 (H, W, 3), all of it as one square window.

        Args:
            photo: RGB.
            size: height and width of the upsampled features; those of the window by default.
            dtype: of the upsampled features.
        """
        side = self.windowing.window
        low = self._encode(resize(photo, (side, side))[None])
        return self._upsample(low, resize(photo, size or (side, side)), dtype)

    def in_windows(self, photo: Photo, short_side: int, *, dtype: Dtype = "float16") -> FeatureMaps:
        """Features of a photo in its own proportions, encoded in overlapping windows whose features are averaged.

        Args:
            photo: RGB u8 (H, W, 3).
            short_side: to which the photo is resized, in pixels.
            dtype: of the upsampled features.
        """
        scale = short_side / min(photo.shape[:2])
        size = (max(1, round(photo.shape[0] * scale)), max(1, round(photo.shape[1] * scale)))
        resized = resize(photo, size)
        windows, corners = cut_windows(resized, self.windowing)
        features = np.concatenate([self._encode(window[None]) for window in windows])
        low = stitch_features(features, corners, size, window=self.windowing.window, patch=self.windowing.patch)
        return self._upsample(low, resized, dtype)

    def _encode(self, windows: Photo) -> Floats:
        return to_host(encode_windows(self._encoder, windows))

    def _upsample(self, low: Floats, guidance: Photo, dtype: Dtype) -> FeatureMaps:
        """LoftUp tile by tile: what is held is the result and one tile."""
        high = np.empty((low.shape[1], *guidance.shape[:2]), dtype)
        for tile, values in upsample_tiles(self._loftup, low, guidance[None]):
            high[:, tile.rows, tile.columns] = values
        return FeatureMaps(guidance, low[0], high)


def resize(photo: Photo, size: tuple[int, int]) -> Photo:
    """A photo at a height and width, u8: Pillow's bilinear filter, which torchvision's transforms take on images."""
    return np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR))
