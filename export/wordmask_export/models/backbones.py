"""The image encoders other than CLIP that have LoftUp checkpoints: DINOv2 (timm) and SigLIP (open_clip, on timm).

Their features are the normalised patch tokens of the last block (for SigLIP before the pooling head), which are not
aligned with text. Photos are normalised by ImageNet's mean and standard deviation, as LoftUp's authors do for all
backbones; DINOv2 uses the same, SigLIP does not, but LoftUp for SigLIP was trained that way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from wordmask.bundle.manifest import Model
from wordmask_export.models import loftup
from wordmask_export.models.clip_csa import interpolate_positions
from wordmask_export.models.normalise import Normalise
from wordmask_export.models.pipeline import loftup_wanted, read_loftup
from wordmask_export.models.weights import Checkpoint, Wanted, WeightsError, fill, find, random_seed

MEAN, STD = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD


def _dinov2(model: str) -> Wanted:
    repository, licence = f"timm/{model}.lvd142m", "Apache-2.0 (Meta)"
    return Wanted(model, repository, "model.safetensors", "--backbone-weights", licence=licence)


def _siglip(model: str) -> Wanted:
    repository, licence = f"timm/{model}", "Apache-2.0 (Google)"
    return Wanted(model, repository, "open_clip_model.safetensors", "--backbone-weights", licence=licence)


# checkpoint of each backbone; its model is a name in timm, or in open_clip
FAMILIES = {
    "dinov2s": _dinov2("vit_small_patch14_dinov2"),
    "dinov2b": _dinov2("vit_base_patch14_dinov2"),
    "dinov2s_reg": _dinov2("vit_small_patch14_reg4_dinov2"),
    "dinov2b_reg": _dinov2("vit_base_patch14_reg4_dinov2"),
    "siglip": _siglip("ViT-B-16-SigLIP"),
    "siglip2": _siglip("ViT-B-16-SigLIP2"),
}


@dataclass(frozen=True)
class BackboneChoice:
    """What to build from, as given on the command line.

    Attributes:
        backbone: one of FAMILIES.
        backbone_weights, loftup_weights: `hub` or a file.
        weights: `random:SEED` instead of all checkpoints.
        sizes: arguments of timm's model that replace the published ones, such as the depth; only with random weights.
    """

    backbone: str
    backbone_weights: str = "hub"
    loftup_weights: str = "hub"
    weights: str | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)

    @property
    def seed(self) -> int | None:
        """Seed of random weights; None for trained weights."""
        return random_seed(self.weights)


@dataclass(frozen=True, eq=False)
class BackboneModels:
    """The loaded reference models, in eval mode, and their entries for the manifest."""

    trunk: VisionTransformer
    loftup: loftup.LoftUp
    entries: dict[str, Model]


class BackboneImage(nn.Module):
    """The `backbone_image` graph: from a photo's bytes to features."""

    def __init__(self, trunk: VisionTransformer) -> None:
        super().__init__()
        self.normalise = Normalise(MEAN, STD)
        self.trunk = trunk

    def forward(self, image: Tensor) -> Tensor:
        """u8 (B, S, S, 3) -> f32 (B, D, S / patch, S / patch)."""
        tokens = self.trunk.forward_features(self.normalise(image))
        patches = tokens[:, self.trunk.num_prefix_tokens :]  # without class and registers
        return patches.transpose(1, 2).unflatten(2, self.trunk.patch_embed.grid_size)


def load(choice: BackboneChoice, window: int) -> BackboneModels:
    """Loads a backbone for windows of a given size and its LoftUp, or makes them with random weights.

    Raises:
        WeightsError: unknown backbone, or weights that are missing or do not fit it.
        ValueError: the window is not a multiple of the patch.
    """
    if choice.backbone not in FAMILIES:
        raise WeightsError(f"--backbone is {choice.backbone!r}, expected clip or one of {', '.join(FAMILIES)}")
    if choice.seed is not None and (choice.backbone_weights, choice.loftup_weights) != ("hub", "hub"):
        raise WeightsError("--weights random:SEED makes all weights: leave out --backbone- and --loftup-weights")
    family, seed = FAMILIES[choice.backbone], choice.seed
    with torch.random.fork_rng():
        torch.manual_seed(seed or 0)
        trunk = new_trunk(family.model, **choice.sizes)
        if seed is not None:
            _randomise(trunk)
    patch = trunk.patch_embed.patch_size[0]
    if window % patch:
        raise ValueError(f"a window of {window} is not a multiple of {choice.backbone}'s patch of {patch}")
    name = f"loftup_{choice.backbone}"
    if seed is None:
        path = None if choice.backbone_weights == "hub" else Path(choice.backbone_weights)
        found = find([replace(family, path=path), loftup_wanted(name, choice.loftup_weights)])
        fill(trunk, found[0].path, checkpoint_filter_fn)  # timm translates open_clip's and Meta's names too
        upsampler = read_loftup(found[1], trunk.embed_dim)
    else:
        found = [Checkpoint(Path(), str(choice.weights))] * 2
        upsampler = loftup.random(trunk.embed_dim, seed)
    entries = {"backbone": found[0].entry(family.model), "loftup": found[1].entry(name)}
    fit_positions(trunk, window)
    return BackboneModels(trunk.eval().requires_grad_(False), upsampler, entries)


def new_trunk(model: str, **sizes: Any) -> VisionTransformer:
    """timm's vision transformer by its name in timm or in open_clip, with newly initialised weights."""
    settings: dict[str, Any] = {}
    config = open_clip.get_model_config(model)
    if config is not None:
        vision = config["vision_cfg"]
        model, settings = vision["timm_model_name"], {"global_pool": vision["timm_pool"]}
    trunk = timm.create_model(model, num_classes=0, **settings, **sizes)
    assert isinstance(trunk, VisionTransformer)
    return trunk


def fit_positions(trunk: VisionTransformer, window: int) -> None:
    """Interpolates the position embeddings for windows of a given size, in place, as each model's authors do.

    DINOv2 without registers: bicubic by the scale (n + 0.1) / g, not antialiased; with registers: bicubic by size,
    antialiased (facebookresearch/dinov2, hub/backbones.py), which is also timm's rule for all models. At 224 pixels
    (16 patches; the models have 37) the two differ by a sixth, measured on smooth random positions.
    """
    assert trunk.pos_embed is not None
    native = trunk.pos_embed
    trunk.set_input_size(img_size=(window, window))
    if trunk.cls_token is not None and not trunk.no_embed_class:
        positions = interpolate_positions(native.detach()[0], *trunk.patch_embed.grid_size)
        trunk.pos_embed = nn.Parameter(positions[None])


def _randomise(trunk: VisionTransformer) -> None:
    """Draws gains, biases, positions and LayerScale at random, because their initial values would hide errors."""
    for name, parameter in trunk.named_parameters():
        if name.endswith(("gamma", "norm1.weight", "norm2.weight", "norm.weight")):
            nn.init.normal_(parameter, mean=1.0, std=0.1)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.05)
        elif name.endswith(("pos_embed", "_token")):
            nn.init.normal_(parameter, std=0.5)
