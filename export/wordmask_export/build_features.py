"""Builds a bundle for features only: a backbone and the LoftUp that was trained on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wordmask.bundle.manifest import SCHEMA, Backbone, FeaturesManifest
from wordmask_export.build import Precision, SummaryRow, begin, compare_all, export_all, write_bundle
from wordmask_export.graphs import specs as graphs
from wordmask_export.models import backbones
from wordmask_export.models.messages import log
from wordmask_export.models.pipeline import tool_versions
from wordmask_export.parity.features import FeatureParity
from wordmask_export.precision.half_weights import round_weights
from wordmask_export.unfinished import Unfinished, fingerprint


def build_features(
    out: Path,
    choice: backbones.BackboneChoice,
    *,
    window: int = 224,
    precision: Precision = "fp32",
    half_weights: bool = False,
    force: bool = False,
    report: Callable[[str], None] = log,
) -> FeaturesManifest:
    """Builds a bundle for features in the folder `out`; see wordmask_export.build.build.

    Args:
        out: must not exist unless force is given.
        choice: backbone and weights.
        window: side in pixels of the square that a photo is resized to; LoftUp was trained at 224.
        precision: fp32 or fp16.
        half_weights: round the weights to half precision and store them so.
        force: replace an existing bundle.
        report: takes messages about the progress, and the summary.

    Raises:
        TargetError: `out` exists and must not be replaced.
        BuildError: a figure exceeds its limit.
        WeightsError: weights are missing or do not fit.
        ValueError: the window is not a multiple of the patch.
    """

    def make(work: Unfinished) -> tuple[FeaturesManifest, list[SummaryRow]]:
        report("loading the models")
        loaded = backbones.load(choice, window)
        if half_weights:
            round_weights(loaded.trunk)
            round_weights(loaded.loftup)
        settings = (choice, window, precision, half_weights, loaded.entries, tool_versions())
        progress = begin(work, fingerprint(*settings), graphs.backbone_parameters(loaded), report)
        entries = export_all(work, graphs.backbone_specs(loaded, window), precision, half_weights, progress)
        manifest = FeaturesManifest(
            schema=SCHEMA,
            kind="features",
            bundle_id="",
            domain="photos" if choice.seed is None else "random",
            precision=precision,
            graphs=entries,
            models=loaded.entries,
            backbone=Backbone(choice.backbone, loaded.trunk.embed_dim, loaded.trunk.patch_embed.patch_size[0], window),
            loftup=graphs.loftup_constants(loaded.loftup),
            tools=tool_versions(),
        ).sealed()
        return manifest, compare_all(work, FeatureParity(work.folder, manifest, loaded).figures, entries, progress)

    return write_bundle(out, make, force=force, report=report)
