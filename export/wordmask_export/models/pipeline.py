"""Loads the PyTorch models that a bundle is built from, with their entries for the manifest."""

from __future__ import annotations

import contextlib
import importlib.metadata
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import sam2
import torch
from omegaconf import OmegaConf
from torch import Tensor

from wordmask.bundle.card import CLIP_LICENCE, LOFTUP_LICENCE
from wordmask.bundle.manifest import Model
from wordmask_export.models import loftup
from wordmask_export.models.clip_config import ClipConfig, read_clip_config, without_openai_extras
from wordmask_export.models.weights import Checkpoint, Wanted, WeightsError, fill, find, random_seed, read

LOFTUP_CHECKPOINTS = ("clip", "dinov2s", "dinov2s_reg", "dinov2b", "dinov2b_reg", "siglip", "siglip2")
STABILITY = {  # set by sam2.build_sam beside the YAML: if the single mask is unstable, the best of three is taken
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


@dataclass(frozen=True)
class Choice:
    """Which models to build from, as given on the command line (see wordmask.cli.build)."""

    clip: str = "ViT-B-16-quickgelu"
    loftup: str = "loftup_clip"
    sam2: str = "sam2.1_hiera_large"
    clip_weights: str = "openai"
    loftup_weights: str = "hub"
    sam2_weights: str = "hub"
    weights: str | None = None

    @property
    def seed(self) -> int | None:
        """Seed of random weights; None for trained weights."""
        return random_seed(self.weights)


@dataclass(frozen=True, eq=False)
class Models:
    """The loaded reference models, in eval mode, and their entries for the manifest.

    Attributes:
        clip: open_clip's model.
        clip_heads: attention heads of the image tower and of the text tower.
        quick_gelu: whether CLIP's activation is QuickGELU.
        mean, std: of CLIP's normalisation.
        loftup: None if the bundle has no LoftUp.
        sam2: sam2's SAM2Base.
        entries: by model.
    """

    clip: Any
    clip_heads: tuple[int, int]
    quick_gelu: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    loftup: loftup.LoftUp | None
    sam2: Any
    entries: dict[str, Model]


def load(choice: Choice) -> Models:
    """Loads CLIP, LoftUp and SAM2, or makes them with random weights.

    Raises:
        WeightsError: unknown model, or weights that are missing or do not fit it.
    """
    seed = choice.seed
    config = read_clip_config(choice.clip, choice.clip_weights if seed is None else None)
    sam_config, sam_wanted = _sam2_config(choice)
    if seed is not None and (choice.clip_weights, choice.loftup_weights, choice.sam2_weights) != (
        "openai",
        "hub",
        "hub",
    ):
        raise WeightsError("--weights random:SEED makes all weights: leave out --clip-, --loftup- and --sam2-weights")
    with torch.random.fork_rng():
        torch.manual_seed(seed or 0)
        clip = config.new_model()
        sam = new_sam2(sam_config)
    upsampler = None if choice.loftup == "none" else loftup.random(config.dim, seed or 0)
    names = {"clip": choice.clip, "sam2": choice.sam2}
    if upsampler is not None:
        names["loftup"] = choice.loftup
    if seed is None:
        wanted = [_clip_wanted(choice), sam_wanted]
        if upsampler is not None:
            wanted.append(loftup_wanted(choice.loftup, choice.loftup_weights))
        found = find(wanted)
        fill(clip, found[0].path, without_openai_extras)
        fill(sam, found[1].path)
        if upsampler is not None:
            upsampler = read_loftup(found[2], config.dim)
    else:
        found = [Checkpoint(Path(), str(choice.weights))] * len(names)
    entries = {kind: checkpoint.entry(names[kind]) for kind, checkpoint in zip(names, found, strict=True)}
    return _assemble(config, clip, upsampler, sam, entries)


def _assemble(
    config: ClipConfig, clip: Any, upsampler: loftup.LoftUp | None, sam: Any, entries: dict[str, Model]
) -> Models:
    return Models(
        clip=clip.eval().requires_grad_(False),
        clip_heads=config.heads,
        quick_gelu=config.quick_gelu,
        mean=config.mean,
        std=config.std,
        loftup=upsampler,
        sam2=sam.eval().requires_grad_(False),
        entries=entries,
    )


def _clip_wanted(choice: Choice) -> Wanted:
    tag = choice.clip_weights
    known = None if choice.clip.endswith(".json") else open_clip.get_pretrained_cfg(choice.clip, tag)
    if not known:
        return Wanted(choice.clip, "", "", "--clip-weights", Path(tag))
    repository = known.get("hf_hub", "").rstrip("/")
    if not repository:
        raise WeightsError(f"open_clip's {tag} weights are not on the hub: pass a local file as --clip-weights PATH")
    file = "open_clip_model.safetensors"
    licence = CLIP_LICENCE if tag == "openai" else f"see huggingface.co/{repository}"
    return Wanted(choice.clip, repository, file, "--clip-weights", licence=licence, older="open_clip_pytorch_model.bin")


def loftup_wanted(model: str, weights: str) -> Wanted:
    """The checkpoint of a LoftUp model, from the hub or from a file."""
    name = model.removeprefix("loftup_")
    if name not in LOFTUP_CHECKPOINTS:
        known = ", ".join(f"loftup_{n}" for n in LOFTUP_CHECKPOINTS)
        raise WeightsError(f"--loftup is {model!r}, expected none or one of {known}")
    path = None if weights == "hub" else Path(weights)
    repository, licence = f"haiwen/loftup-{name}", LOFTUP_LICENCE
    return Wanted(model, repository, "pytorch_model.bin", "--loftup-weights", path, licence)


def _sam2_config(choice: Choice) -> tuple[Any, Wanted]:
    """sam2's configuration of a model, by its name or from a YAML file of the same layout, and its checkpoint."""
    from sam2.build_sam import HF_MODEL_ID_TO_FILENAMES  # noqa: PLC0415  (starts hydra)

    path, repository, file = None if choice.sam2_weights == "hub" else Path(choice.sam2_weights), "", ""
    if choice.sam2.endswith(".yaml"):
        config, path = OmegaConf.load(choice.sam2), path or Path("(no --sam2-weights given)")
    else:
        known = {Path(name).stem: (hub, place, name) for hub, (place, name) in HF_MODEL_ID_TO_FILENAMES.items()}
        if choice.sam2 not in known:
            raise WeightsError(f"--sam2 is {choice.sam2!r}, expected a YAML file or one of {', '.join(known)}")
        repository, place, file = known[choice.sam2]
        config = OmegaConf.load(Path(sam2.__path__[0]) / place)
    return config, Wanted(choice.sam2, repository, file, "--sam2-weights", path, "Apache-2.0 (Meta)")


def new_sam2(config: Any) -> Any:
    """A SAM2Base with newly initialised weights from a configuration in sam2's layout."""
    from hydra.utils import instantiate  # noqa: PLC0415

    OmegaConf.update(config, "model.sam_mask_decoder_extra_args", STABILITY, force_add=True)
    OmegaConf.resolve(config)
    return instantiate(config.model, _recursive_=True)


def read_loftup(found: Checkpoint, dim: int) -> loftup.LoftUp:
    """LoftUp for features of `dim` channels.

    Raises:
        WeightsError: they are not LoftUp's weights, or for another number of channels.
    """
    try:
        module = loftup.load(loftup.of_training(read(found.path)))
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{found.path}: {error}") from error
    width = len(module.channelnorm.norm.weight)
    if width != dim:
        raise WeightsError(
            f"{found.path} upsamples {width} channels, the features have {dim}: choose the LoftUp of this backbone"
        )
    return module


def image_predictor(model: Any) -> Any:
    """sam2's SAM2ImagePredictor, adapted to image sizes other than 1024, which it assumes."""
    from sam2.sam2_image_predictor import SAM2ImagePredictor  # noqa: PLC0415

    with warnings.catch_warnings():  # it compiles its transforms with torch.jit.script, which torch deprecates
        warnings.simplefilter("ignore", FutureWarning)
        predictor = SAM2ImagePredictor(model)
    predictor._bb_feat_sizes = [(model.image_size // step, model.image_size // step) for step in (4, 8, 16)]  # noqa: SLF001  (sam2 has no public name for it)
    return predictor


def encoder_maps(predictor: Any) -> dict[str, Tensor]:
    """The encoder outputs that SAM2ImagePredictor stores for a photo, by the names of the graphs' tensors."""
    features = predictor._features  # noqa: SLF001  (sam2 has no public name for it)
    high_res_0, high_res_1 = features["high_res_feats"]
    return {"image_embed": features["image_embed"], "high_res_0": high_res_0, "high_res_1": high_res_1}


def decode_masks(
    model: Any, maps: Mapping[str, Tensor], coords: Tensor, labels: Tensor, masks: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """sam2's mask decoder on prompts of one photo: logits (N, 4, S/4, S/4) of all four masks, predicted IoU (N, 4).

    Args:
        model: sam2's SAM2Base.
        maps: see encoder_maps.
        coords: f32 (N, P, 2), x and y in pixels of SAM2's square.
        labels: i32 (N, P), as in sam2.
        masks: f32 (N, 1, S/4, S/4), logits of the prompts' masks; None for prompts without.
    """
    sparse, dense = model.sam_prompt_encoder(points=(coords, labels), boxes=None, masks=masks)
    found, iou, _, _ = model.sam_mask_decoder.predict_masks(
        image_embeddings=maps["image_embed"],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=True,
        high_res_features=[maps["high_res_0"], maps["high_res_1"]],
    )
    return found, iou


def tool_versions() -> dict[str, str]:
    """Versions of the packages that made the graphs; packages without metadata are left out."""
    tools = ("torch", "onnx", "onnxscript", "open_clip_torch", "timm", "sam2", "onnxruntime", "onnxruntime-gpu")
    versions = {}
    for name in tools:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
