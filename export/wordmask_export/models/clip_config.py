"""open_clip's configuration of a CLIP model: whether the graphs can compute it, and what its weights expect.

The activation, and the mean and standard deviation of photos depend on the weights and not on the model.
"""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor

from wordmask.errors import WordmaskWarning
from wordmask_export.models.weights import WeightsError

# what an OpenAI-style model has; any other setting changes what it computes
MODEL = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu"}
VISION = {"image_size", "layers", "width", "head_width", "mlp_ratio", "patch_size"}
TEXT = {"context_length", "vocab_size", "width", "heads", "layers"}
MERGED_WORDS = 49408  # of the tokenizer's byte-pair merges
LARGEST = 2**31 - 2**24  # bytes of an image tower: an ONNX file holds 2 GiB, and the graph needs some itself


@dataclass(frozen=True, eq=False)
class ClipConfig:
    """A model that the graphs can compute.

    Attributes:
        settings: of open_clip.CLIP.
        quick_gelu: whether its weights were trained with QuickGELU.
        mean, std: of its photos' channels, 0 to 1.
    """

    settings: Mapping[str, Any]
    quick_gelu: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def dim(self) -> int:
        """Channels of the embeddings."""
        return int(self.settings["embed_dim"])

    @property
    def heads(self) -> tuple[int, int]:
        """Attention heads of the image tower and of the text tower."""
        vision, text = self.settings["vision_cfg"], self.settings["text_cfg"]
        return vision["width"] // vision.get("head_width", 64), text.get("heads", 8)

    def new_model(self) -> Any:
        """open_clip's model with newly initialised weights."""
        return open_clip.CLIP(**copy.deepcopy(dict(self.settings)))


def read_clip_config(name: str, weights: str | None) -> ClipConfig:
    """The configuration of a model for given weights.

    Args:
        name: open_clip's name of the model, or a JSON file of the same layout.
        weights: open_clip's tag, which decides activation, mean and std where it is known; for a file, or None, the
            model's name decides the activation, and mean and std are OpenAI's. A file for a model that has a QuickGELU
            twin brings a WordmaskWarning, because a file does not tell its activation.

    Raises:
        WeightsError: the model is unknown, or the graphs cannot compute it.
    """
    local = name.endswith(".json")
    config = json.loads(Path(name).read_text(encoding="utf-8")) if local else open_clip.get_model_config(name)
    if config is None:
        raise WeightsError(f"open_clip has no model {name!r}; a common choice is ViT-B-16-quickgelu")
    refuse_others(name, config)
    tag = (None if local or weights is None else open_clip.get_pretrained_cfg(name, weights)) or {}
    if not local and not tag and weights is not None and f"{name}-quickgelu" in open_clip.list_models():
        text = f"{weights} is run with GELU, as {name} has it: OpenAI's own weights and DFN's need {name}-quickgelu"
        warnings.warn(text, WordmaskWarning, stacklevel=2)
    quick_gelu = bool(tag.get("quick_gelu", False) if tag else config.get("quick_gelu", False))
    mean, std = tag.get("mean", open_clip.OPENAI_DATASET_MEAN), tag.get("std", open_clip.OPENAI_DATASET_STD)
    made = ClipConfig({**config, "quick_gelu": quick_gelu}, quick_gelu, tuple(mean), tuple(std))
    _refuse_too_large(name, made)
    return made


def refuse_others(name: str, config: Mapping[str, Any]) -> None:
    """Refuses models with other parts than OpenAI's.

    Raises:
        WeightsError: with the model's name and its first setting that the graphs do not compute.
    """
    vision, text = config["vision_cfg"], config["text_cfg"]
    if "timm_model_name" in vision or isinstance(vision.get("layers"), list):
        raise WeightsError(
            f"{name} is not an OpenAI-style vision transformer: only those have an attention to correlate"
        )
    surplus = [
        *(key for key in config if key not in MODEL),
        *(f"vision_cfg.{key}" for key in vision if key not in VISION),
        *(f"text_cfg.{key}" for key in text if key not in TEXT),
    ]
    if surplus:
        raise WeightsError(
            f"{name} is not an OpenAI-style CLIP: the graphs do not compute its {surplus[0]}. Models such as "
            "ViT-B-16-quickgelu, ViT-B-32 and ViT-L-14 can be built"
        )
    if text["vocab_size"] != MERGED_WORDS:
        raise WeightsError(
            f"{name} has a vocabulary of {text['vocab_size']} tokens, CLIP's tokenizer has {MERGED_WORDS}"
        )


def _refuse_too_large(name: str, config: ClipConfig) -> None:
    with torch.device("meta"):  # without memory for the weights
        tower = config.new_model().visual
    size = sum(parameter.numel() for parameter in tower.parameters()) * 4
    if size > LARGEST:
        raise WeightsError(
            f"{name} is too large: its image tower takes {size / 1e9:.1f} GB, and an ONNX file holds "
            f"{LARGEST / 1e9:.1f} GB. The largest that can be built is ViT-L-14"
        )


def without_openai_extras(state: dict[str, Tensor], model: Any) -> dict[str, Tensor]:
    """A state dict without what OpenAI's archives hold beside the weights: three sizes, and the causal mask."""
    del model
    sizes = ("input_resolution", "context_length", "vocab_size")
    return {name: value for name, value in state.items() if name not in sizes and not name.endswith("attn_mask")}
