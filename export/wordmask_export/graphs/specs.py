"""The graphs of a bundle: the exported modules with their inputs and outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import nn

from wordmask.bundle.manifest import Clip, File, Loftup, Sam2, Tensor
from wordmask_export.graphs.loftup import LoftUpFeatures, LoftUpGraph
from wordmask_export.graphs.onnx_export import Spec
from wordmask_export.graphs.sam2 import Decoder, Encoder
from wordmask_export.models import clip_csa, clip_text, loftup
from wordmask_export.models.backbones import BackboneImage, BackboneModels
from wordmask_export.models.normalise import Normalise
from wordmask_export.models.pipeline import Models
from wordmask_export.models.transformer import Attention


@dataclass(frozen=True)
class Protocol:
    """How photos are cut into windows, sizes in pixels, and SAM2 is prompted. The defaults are SCLIP's.

    With `mask_prompts`, SAM2 gets the regions of the class map as masks, beside points.
    """

    window: int = 224
    stride: int = 112
    short_side: int = 336
    long_side: int = 2048
    attention: Attention = "csa"
    logit_scale: float = 40.0
    mask_prompts: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.window <= self.short_side <= self.long_side:
            raise ValueError(
                f"stride {self.stride}, window {self.window}, short side {self.short_side} and long side "
                f"{self.long_side}: each must be positive and not exceed the next"
            )


class ClipImage(nn.Module):
    """The `clip_image` graph: a window's bytes to dense features."""

    def __init__(self, models: Models, protocol: Protocol) -> None:
        super().__init__()
        self.normalise = Normalise(models.mean, models.std)
        self.tower = clip_csa.load(
            models.clip.state_dict(),
            heads=models.clip_heads[0],
            attention=protocol.attention,
            quick_gelu=models.quick_gelu,
        )
        grid = protocol.window // self.tower.patch
        if protocol.window % self.tower.patch:
            raise ValueError(f"a window of {protocol.window} is not a multiple of CLIP's patch of {self.tower.patch}")
        positions = clip_csa.interpolate_positions(self.tower.positional_embedding, grid, grid)
        self.tower.positional_embedding = nn.Parameter(positions, requires_grad=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """u8 (B, S, S, 3) -> f32 (B, D, S / patch, S / patch)."""
        return self.tower(self.normalise(image))


def clip_constants(models: Models, protocol: Protocol, merges: File) -> Clip:
    """CLIP's constants for the runtime."""
    return Clip(
        dim=models.clip.text_projection.shape[1],
        patch=models.clip.visual.conv1.weight.shape[-1],
        window=protocol.window,
        stride=protocol.stride,
        short_side=protocol.short_side,
        long_side=protocol.long_side,
        attention="maskclip" if protocol.attention == "maskclip" else "csa",
        logit_scale=protocol.logit_scale,
        context_length=models.clip.positional_embedding.shape[0],
        templates=tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES),
        merges=merges,
    )


def loftup_constants(module: loftup.LoftUp) -> Loftup:
    """LoftUp's constants for the runtime; phases in the order in which the network uses them."""
    pixel, key = module.upsampler.phases, module.upsampler.lr_pe.biases
    return Loftup(
        frequencies=tuple(loftup.frequencies(pixel.shape[2]).tolist()),
        phases=_phases(pixel),
        key_frequencies=tuple(loftup.frequencies(key.shape[2]).tolist()),
        key_phases=_phases(key),
        heads=loftup.HEADS,
    )


def _phases(biases: torch.Tensor) -> tuple[tuple[tuple[float, ...], ...], ...]:
    two, scalars, count = biases.shape  # reshaped, not transposed, as in the published code
    return tuple(tuple(map(tuple, block)) for block in biases.reshape(two, count, scalars).tolist())


def sam2_constants(models: Models) -> Sam2:
    """SAM2's constants for the runtime."""
    size = models.sam2.image_size
    decoder = models.sam2.sam_mask_decoder
    return Sam2(
        image_size=size,
        mask_size=size // 4,
        mask_threshold=0.0,
        stability_delta=decoder.dynamic_multimask_stability_delta,
        stability_threshold=decoder.dynamic_multimask_stability_thresh,
    )


def specs(models: Models, protocol: Protocol) -> Iterator[Spec]:
    """The graphs of a bundle, made one at a time to save memory."""
    yield _clip_image(models, protocol)
    yield _clip_text(models)
    if models.loftup is not None:
        yield from _loftup(models.loftup)
    yield from _sam2(models.sam2, protocol)


def parameters(models: Models, protocol: Protocol) -> dict[str, int]:
    """Numbers of parameters behind the graphs that `specs` gives, in its order: they tell how long a build takes."""
    image, everything = _count(models.clip.visual), _count(models.clip)
    counts = {"clip_image": image, "clip_text": everything - image}
    if models.loftup is not None:
        counts |= dict.fromkeys(("loftup", "loftup_cpu", "loftup_features"), _count(models.loftup))
    names = ("sam2_encoder", "sam2_decoder", *(("sam2_mask_decoder",) if protocol.mask_prompts else ()))
    return {**counts, **dict.fromkeys(names, _count(models.sam2.image_encoder))}  # decoders: of encoded photos


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _f32(name: str, *shape: int | str) -> Tensor:
    return Tensor(name, "float32", shape)


def _u8(name: str, *shape: int | str) -> Tensor:
    return Tensor(name, "uint8", shape)


def _i32(name: str, *shape: int | str) -> Tensor:
    return Tensor(name, "int32", shape)


def _clip_image(models: Models, protocol: Protocol) -> Spec:
    module, side = ClipImage(models, protocol).eval(), protocol.window
    grid = side // module.tower.patch
    features = _f32("features", "B", module.tower.proj.shape[1], grid, grid)
    return Spec("clip_image", module, (_u8("image", "B", side, side, 3),), (features,))


def _clip_text(models: Models) -> Spec:
    state = models.clip.state_dict()
    module = clip_text.load(state, heads=models.clip_heads[1], quick_gelu=models.quick_gelu)
    embeddings = _f32("embeddings", "T", module.text_projection.shape[1])
    return Spec("clip_text", module, (_i32("tokens", "T", "L"),), (embeddings,))


def backbone_specs(models: BackboneModels, window: int) -> Iterator[Spec]:
    """The graphs of a bundle for features only."""
    image = _u8("image", "B", window, window, 3)
    features = _f32("features", "B", models.trunk.embed_dim, *models.trunk.patch_embed.grid_size)
    yield Spec("backbone_image", BackboneImage(models.trunk).eval(), (image,), (features,))
    yield _loftup_features(models.loftup, LoftUpGraph(models.loftup))


def backbone_parameters(models: BackboneModels) -> dict[str, int]:
    """The same for `backbone_specs`."""
    return {"backbone_image": _count(models.trunk), "loftup_features": _count(models.loftup)}


def _loftup(source: loftup.LoftUp) -> Iterator[Spec]:
    graph, for_cpu = LoftUpGraph(source), LoftUpGraph(source, for_cpu=True)
    inputs = (*_loftup_inputs(source), _f32("text", "C", len(graph.channelnorm.weight)))
    for name, module in (("loftup", graph), ("loftup_cpu", for_cpu)):
        yield Spec(name, module, inputs, (_f32("logits", "B", "C", "H", "W"),))
    yield _loftup_features(source, graph)


def _loftup_features(source: loftup.LoftUp, graph: LoftUpGraph) -> Spec:
    features = _f32("features_out", "B", len(graph.channelnorm.weight), "H", "W")
    return Spec("loftup_features", LoftUpFeatures(graph).eval(), _loftup_inputs(source), (features,))


def _loftup_inputs(source: loftup.LoftUp) -> tuple[Tensor, ...]:
    """Inputs of LoftUp's graphs without the text."""
    waves, key = 2 * source.upsampler.phases.shape[2], 4 * source.upsampler.lr_pe.biases.shape[2]
    return (
        _f32("features", "B", len(source.channelnorm.norm.weight), "h", "w"),
        _u8("guidance", "B", "H+4", "W+4", 3),
        _f32("inside", "B", "H+4", "W+4"),
        _f32("colour_table", "B", 3, 256, waves + 1),
        _f32("row_table", "B", "H+4", waves),
        _f32("column_table", "B", "W+4", waves),
        _f32("key_table", "h*w", key),
    )


def _sam2(model: Any, protocol: Protocol) -> Iterator[Spec]:
    size, dim = model.image_size, model.hidden_dim
    maps = {
        "image_embed": (dim, size // 16, size // 16),
        "high_res_0": (dim // 8, size // 4, size // 4),
        "high_res_1": (dim // 4, size // 8, size // 8),
    }
    encoded = tuple(_f32(name, "B", *shape) for name, shape in maps.items())
    yield Spec("sam2_encoder", Encoder(model).eval(), (_f32("image", "B", size, size, 3),), encoded)
    inputs = (
        *(_f32(name, 1, *shape) for name, shape in maps.items()),
        _f32("point_coords", "N", "P", 2),
        _i32("point_labels", "N", "P"),
    )
    outputs = (_f32("masks", "N", 4, size // 4, size // 4), _f32("iou", "N", 4))
    yield Spec("sam2_decoder", Decoder(model).eval(), inputs, outputs)
    if protocol.mask_prompts:
        masks = _f32("mask_prompts", "N", 1, size // 4, size // 4)
        yield Spec("sam2_mask_decoder", Decoder(model).eval(), (*inputs, masks), outputs)
