"""Loads the PyTorch models that a bundle was built from, for the benchmark's baselines."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

import torch

from wordmask.bundle.manifest import Manifest
from wordmask.errors import BundleError
from wordmask_bench.torch_baseline.chain import EagerChain
from wordmask_bench.torch_baseline.files import ModelFiles
from wordmask_bench.torch_baseline.stages import choice_of
from wordmask_export.models.pipeline import Models, load
from wordmask_export.models.weights import WeightsError


def load_models(manifest: Manifest, files: ModelFiles) -> Models:
    """The models that a bundle was built from.

    Raises:
        BundleError: models were not found, or have other weights.
    """
    found = choice_of(manifest, clip=files.clip, sam2=files.sam2)
    given = {key: getattr(files, key) for key in ("clip_weights", "loftup_weights", "sam2_weights")}
    try:
        models = load(replace(found, **{key: value for key, value in given.items() if value is not None}))
    except WeightsError as error:
        raise BundleError(
            f"PyTorch needs the models the bundle was built from: {error}. Name their files with --clip, --sam2 and "
            "--clip-, --loftup- and --sam2-weights, or measure a bundle that was built with --weights random:0"
        ) from error
    check_weights(models, manifest)
    return models


def check_weights(models: Models, manifest: Manifest) -> None:
    """Raises BundleError unless the bundle was built from these weights."""
    for name, entry in manifest.models.items():
        found = models.entries[name]
        if (found.weights_sha256, found.name) != (entry.weights_sha256, entry.name):
            raise BundleError(
                f"the bundle's {name} is {entry.name} with the weights sha256 {entry.weights_sha256[:12] or 'none'}, "
                f"PyTorch has loaded {found.name} with {found.weights_sha256[:12] or 'none'}: "
                f"name the bundle's own with --{name}-weights"
            )


def compile_chain(chain: EagerChain) -> None:
    """Compiles CLIP, LoftUp and SAM2 with torch.compile; the first runs are slow."""
    logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
    compiled = functools.partial(torch.compile, dynamic=False)
    chain.features = compiled(chain.features)  # type: ignore[method-assign]
    chain.upsample = compiled(chain.upsample)  # type: ignore[method-assign]
    model = chain.models.sam2
    model.image_encoder.forward = compiled(model.image_encoder.forward)
    model.sam_mask_decoder.forward = torch.compile(model.sam_mask_decoder.forward, dynamic=True)
