"""Writes the checkpoints that a training left, from the graphs of the bundle that was built from them.

The graphs hold the weights in half precision; these come back bit for bit. Of some biases of LoftUp only sums are in
the graphs: others with the same sums take their place. What no graph uses keeps its value from before the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import open_clip
import torch
from torch import Tensor

from wordmask.bundle.manifest import Manifest
from wordmask.bundle.opening import open_bundle
from wordmask_export.models.messages import log
from wordmask_export.models.weights import WeightsError
from wordmask_export.tiny import clip_stage
from wordmask_export.tiny.graph_weights import GraphWeights
from wordmask_export.tiny.loftup_stage import LoftupStage, trained_towers
from wordmask_export.tiny.recover_loftup import estimate_means, loftup_weights
from wordmask_export.tiny.sam2_stage import Sam2

State = dict[str, Tensor]
SEED = 0  # of values from before a training: the recipe's
UNUSED = (  # parameters of sam2 that no graph has; training never changes them
    "maskmem_tpos_enc",
    "memory_attention",
    "memory_encoder",
    "no_mem_pos_enc",
    "sam_mask_decoder.pred_obj_score_head",
    "sam_prompt_encoder.mask_downscaling",
)


def recover(bundle: str | Path, out: Path, *, report: Callable[[str], None] = log) -> None:
    """Writes clip.pt, loftup.pt and sam2.pt, as train leaves them.

    Args:
        bundle: a bundle that `build` made, by its name or folder.
        out: the checkpoints' folder.
        report: takes the names of what no graph holds.

    Raises:
        BundleError: it is not found, or a file of it is damaged.
        WeightsError: the graphs are not those of the tiny models with half-precision weights.
    """
    opened = open_bundle(bundle)
    manifest = opened.manifest
    graphs = {name: GraphWeights(opened.path(entry)) for name, entry in manifest.graphs.items()}
    if manifest.loftup is None:
        raise WeightsError(f"{bundle} has no LoftUp")
    try:
        clip = _complete(_fresh_clip(), clip_weights(graphs, manifest))
        upsampler = loftup_weights(graphs["loftup"].values, manifest.loftup)
        fresh = Sam2(SEED).model.state_dict()
        sam2 = _complete(fresh, sam2_weights(graphs, fresh))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{bundle} is not a bundle of the tiny models, or its weights are lost: {error}") from error
    out.mkdir(parents=True, exist_ok=True)
    torch.save(clip, out / "clip.pt")
    torch.save(sam2, out / "sam2.pt")
    stage = LoftupStage(SEED, trained_towers(out / "clip.pt"))
    stage.start(_complete(stage.weights(), upsampler))
    estimate_means(stage)
    torch.save(stage.weights(), out / "loftup.pt")
    report(f"in no graph, so as before a training from seed {SEED}: SAM2's {', '.join(UNUSED)}")


def _fresh_clip() -> State:
    config = json.loads(clip_stage.CONFIG.read_text(encoding="utf-8"))
    return dict(open_clip.CLIP(**config).state_dict())


def _complete(fresh: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> State:
    """All parameters, f32: the found ones, and of UNUSED the fresh ones."""
    for name, value in fresh.items():
        if name not in found and not name.startswith(UNUSED):
            raise ValueError(f"{name} was not found")
        if name in found and found[name].shape != value.shape:
            raise ValueError(f"{name} is {tuple(found[name].shape)}, expected {tuple(value.shape)}")
    return {name: found.get(name, value).to(value.dtype) for name, value in fresh.items()}


def _renamed(values: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> State:
    """What begins with one of the prefixes, with another in its place."""
    return {
        new + name.removeprefix(old): value
        for old, new in prefixes.items()
        for name, value in values.items()
        if name.startswith(old)
    }


def clip_weights(graphs: Mapping[str, GraphWeights], manifest: Manifest) -> State:
    """CLIP's by open_clip's names; the temperature is in the manifest, with three decimals."""
    text = [name for name in _fresh_clip() if not name.startswith("visual.") and name != "logit_scale"]
    return {
        **_renamed(graphs["clip_image"].values, {"tower.": "visual."}),
        **{name: graphs["clip_text"].values[name] for name in text},
        "logit_scale": torch.tensor(math.log(manifest.clip.logit_scale)),
    }


def sam2_weights(graphs: Mapping[str, GraphWeights], fresh: Mapping[str, Tensor]) -> State:
    """SAM2's by sam2's names, of those in `fresh` what its graphs use."""
    encoder, decoder = graphs["sam2_encoder"], graphs["sam2_decoder"]
    found = _renamed(encoder.values, {"model.": ""})
    found |= _renamed(
        _with_folded(decoder), {"decoder.": "sam_mask_decoder.", "prompt_encoder.": "sam_prompt_encoder."}
    )
    found |= _positions(encoder.values["positions"], fresh)
    found["no_mem_embed"] = encoder.beside("image_embed").reshape(1, 1, -1)
    prompts, own = "sam_prompt_encoder.", "sam_mask_decoder."
    found[f"{prompts}no_mask_embed.weight"] = decoder.beside("image_embed").reshape(1, -1)
    for index, row in enumerate(decoder.beside("point_labels")):
        found[f"{prompts}point_embeddings.{index}.weight"] = row[None]
    names = [f"{own}{name}.weight" for name in ("obj_score_token", "iou_token", "mask_tokens")]
    tokens = decoder.values["own_tokens"].split([len(fresh[name]) for name in names])
    found |= dict(zip(names, tokens, strict=True))
    for name in (f"{own}output_upscaling.{index}.weight" for index in (0, 3)):
        channels = fresh[name].shape[1]
        found[name] = found[name].T.unflatten(1, (2, 2, channels)).permute(0, 3, 1, 2)  # see graphs.sam2.patch_weight
    return found


def _with_folded(decoder: GraphWeights) -> State:
    """The decoder's parameters with those that graphs.sam2.read and write fold."""
    values = dict(decoder.values)
    for attention in {name.rpartition(".")[0].rpartition(".")[0] for name in values if name.endswith("_proj.bias")}:
        query, key = f"{attention}.q_proj", f"{attention}.k_proj"
        if f"{query}.bias" not in values:  # write
            values[f"{query}.weight"] = decoder.after(f"{key}.bias", "MatMul").flatten(0, 1)
            values[f"{query}.bias"] = decoder.after(f"{key}.bias", "Mul").flatten()
        elif f"{key}.bias" not in values:  # read
            values[f"{key}.weight"] = decoder.after(f"{query}.bias", "MatMul").flatten(0, 1)
            values[f"{key}.bias"] = torch.zeros_like(values[f"{query}.bias"])  # any would do
    return values


def _positions(whole: Tensor, fresh: Mapping[str, Tensor]) -> State:
    """The window's part of the position embeddings (1, S/4, S/4, C); the recipe keeps the other at zero."""
    trunk = "image_encoder.trunk."
    height, width = fresh[f"{trunk}pos_embed_window"].shape[2:]
    window = whole[:, :height, :width]
    if not torch.equal(window.tile(1, whole.shape[1] // height, whole.shape[2] // width, 1), whole):
        raise ValueError("position embeddings differ between windows")
    return {
        f"{trunk}pos_embed": torch.zeros_like(fresh[f"{trunk}pos_embed"]),
        f"{trunk}pos_embed_window": window.permute(0, 3, 1, 2),
    }
