"""Makes the bundle of what the three trainings left."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from wordmask.bundle.manifest import Manifest
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask_export.build import build
from wordmask_export.graphs.specs import Protocol
from wordmask_export.models.pipeline import Choice
from wordmask_export.models.weights import read
from wordmask_export.tiny import sam2_stage, towers
from wordmask_export.tiny.data import PROTOCOL
from wordmask_export.tiny.kept import weights_file

LICENCE = "Apache-2.0 (wordmask)"


def tiny_choice(weights: Path) -> Choice:
    """The tiny models, with the weights of a folder (see wordmask_export.tiny.kept)."""
    return Choice(
        clip=str(towers.CONFIG),
        sam2=str(sam2_stage.CONFIG),
        clip_weights=str(weights_file(weights, "clip")),
        loftup_weights=str(weights_file(weights, "loftup")),
        sam2_weights=str(weights_file(weights, "sam2")),
    )


def protocol_of(weights: Path) -> Protocol:
    """The bundle's protocol: that of the training's windows, with CLIP's temperature to three decimals."""
    scale = math.exp(read(weights_file(weights, "clip"))["logit_scale"].item())
    return dataclasses.replace(PROTOCOL, logit_scale=round(scale, 3))


def build_bundle(weights: Path, out: Path, *, force: bool = False) -> Manifest:
    """Builds the bundle, in fp32 with half-precision weights.

    Args:
        weights: folder of the three models' weights, see wordmask_export.tiny.kept.
        out: the bundle's folder.
        force: replaces what stands there.

    Raises:
        BuildError: see wordmask_export.build. WeightsError: weights are missing.
    """
    choice, protocol = tiny_choice(weights), protocol_of(weights)
    return own(out, build(out, choice, protocol, half_weights=True, domain="synthetic", force=force))


def own(bundle: Path, manifest: Manifest) -> Manifest:
    """Notes in a bundle's manifest that its weights are this project's."""
    models = {
        name: dataclasses.replace(
            model, name=f"tiny_{name}", source=f"python -m wordmask_export.tiny ({model.source})", licence=LICENCE
        )
        for name, model in manifest.models.items()
    }
    manifest = dataclasses.replace(manifest, models=models)
    (bundle / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest
