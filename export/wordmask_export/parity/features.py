"""Compares the graphs of a bundle for features with the PyTorch models; see wordmask_export.parity.pipeline."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wordmask.backends import run_to_host
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import FeaturesManifest
from wordmask_export.models.backbones import MEAN, STD, BackboneModels
from wordmask_export.parity.pipeline import (
    Array,
    Figure,
    Tolerances,
    batch_error,
    loftup_inputs,
    real_photos,
    relative_error,
    upsampled,
    windows,
)


class FeatureParity:
    """Compares the graphs of a finished bundle with timm's trunk and the published LoftUp."""

    def __init__(self, folder: Path, manifest: FeaturesManifest, models: BackboneModels) -> None:
        self.folder, self.manifest, self.models = folder, manifest, models
        self.limits = Tolerances.of(manifest)
        self.windows = windows(manifest.backbone.window, real_photos(), np.random.default_rng(0))

    def figures(self, name: str) -> list[Figure]:
        """Loads a graph and compares it."""
        entry = self.manifest.graphs[name]
        graph = OrtGraph(self.folder / entry.file, entry, device="cpu")
        with torch.inference_mode():
            return list(self._backbone_image(graph) if name == "backbone_image" else self._loftup_features(graph))

    @functools.cached_property
    def _features(self) -> Array:
        """Features by timm's forward_intermediates: the normalised last block, f32 (B, D, h, w)."""
        pixels = torch.from_numpy(self.windows).permute(0, 3, 1, 2).float() / 255  # (B, 3, S, S)
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        trunk: Any = self.models.trunk  # with these arguments it returns a list of one map
        (last,) = trunk.forward_intermediates(
            (pixels - mean) / std, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
        )
        return np.asarray(last)

    def _backbone_image(self, graph: OrtGraph) -> Iterator[Figure]:
        inputs = {"image": self.windows}
        found = run_to_host(graph, inputs)
        error = relative_error(found["features"], self._features)
        yield Figure("backbone_image.relative_error", error, self.limits.relative)
        yield Figure("backbone_image.batch_error", batch_error(graph, inputs, ("image",), found), self.limits.relative)

    def _loftup_features(self, graph: OrtGraph) -> Iterator[Figure]:
        inputs = loftup_inputs(self.windows, self._features, self.manifest.loftup)
        found, expected = run_to_host(graph, inputs), upsampled(self.models.loftup, inputs)
        error = relative_error(found["features_out"], expected)
        yield Figure("loftup_features.relative_error", error, self.limits.loftup)
        batched = tuple(name for name in inputs if name != "key_table")
        yield Figure("loftup_features.batch_error", batch_error(graph, inputs, batched, found), self.limits.relative)
