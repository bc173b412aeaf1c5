"""What the check on a GPU feeds each graph, and how two answers are compared.

A case is made once, from real inputs, by ONNX Runtime on the CPU; every device then gets the same case. The expected
outputs come from rows fed alone, so that a batch that mixes its rows shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Photo
from wordmask.backends import Graph, run_to_host
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.engines import ROWS
from wordmask.bundle.manifest import GraphEntry
from wordmask.bundle.opening import PipelineBundle
from wordmask.dense.loftup import window_inputs
from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.objects.sam2 import resize_for_sam2
from wordmask.text.tokenizer import Tokenizer
from wordmask_bench.torch_baseline.case import Arrays, Case
from wordmask_export.parity.pipeline import batch_error, relative_error, worst_iou
from wordmask_export.tensorrt.real_inputs import discs

WINDOWS, PHOTOS, PROMPTS, TEXTS = 8, 2, 32, 64  # rows of the cases: the largest sizes that are timed
ODD = {
    "clip_image": 3,
    "loftup": 3,
    "sam2_encoder": 2,
    "sam2_decoder": 5,
    "sam2_mask_decoder": 5,
    "clip_text": 5,
}  # no engine is built for them


def batched_inputs(entry: GraphEntry) -> tuple[str, ...]:
    """Inputs whose first dimension is one of the symbols of rows."""
    return tuple(tensor.name for tensor in entry.inputs if tensor.shape and tensor.shape[0] in ROWS)


def make_cases(
    bundle: PipelineBundle, photos: Sequence[Photo], words: Sequence[str], log: Callable[[str], None]
) -> dict[str, Case]:
    """The case of every graph but loftup_features and loftup_cpu.

    Args:
        bundle: whose graphs.
        photos: u8 (H, W, 3) each, at least two; their windows and squares are the inputs.
        words: in templates they are the text graph's prompts.
        log: is told of progress.
    """
    cases: dict[str, Case] = {}

    def add(name: str, inputs: Arrays) -> Arrays:
        log(f"{name} on the CPU")
        entry = bundle.manifest.graphs[name]
        graph = OrtGraph(bundle.path(entry), entry, device="cpu")
        cases[name] = _alone(graph, inputs, batched_inputs(entry))
        return cases[name].expected

    windows = _windows(photos, bundle)
    text = add("clip_text", {"tokens": _tokens(bundle, words)})["embeddings"]
    features = add("clip_image", {"image": windows})["features"]
    if bundle.manifest.loftup is not None:
        grid = (features.shape[2], features.shape[3])
        pixels = {"features": features, **window_inputs(windows, grid, bundle.manifest.loftup)}
        add("loftup", {**pixels, "text": text[: len(words)]})
    side = bundle.manifest.sam2.image_size
    maps = add("sam2_encoder", {"image": np.stack([resize_for_sam2(photo, side) for photo in photos[:PHOTOS]])})
    asked: Arrays = {**{name: value[:1] for name, value in maps.items()}, **_prompts(side)}
    add("sam2_decoder", asked)
    if "sam2_mask_decoder" in bundle.manifest.graphs:
        masks = discs(asked["point_coords"], bundle.manifest.sam2)
        add("sam2_mask_decoder", {**asked, "mask_prompts": masks})
    return cases


def _alone(graph: OrtGraph, inputs: Arrays, batched: tuple[str, ...]) -> Case:
    rows = [
        run_to_host(graph, {name: value[row : row + 1] if name in batched else value for name, value in inputs.items()})
        for row in range(len(inputs[batched[0]]))
    ]
    return Case(inputs, {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, batched)


def _windows(photos: Sequence[Photo], bundle: PipelineBundle) -> Photo:
    """WINDOWS windows, taken in turn from all photos: u8 (WINDOWS, S, S, 3)."""
    constants = bundle.manifest.clip
    cut = [cut_windows(resize_for_clip(photo, constants), constants)[0] for photo in photos]
    return np.stack([cut[i % len(cut)][(i // len(cut)) % len(cut[i % len(cut)])] for i in range(WINDOWS)])


def _tokens(bundle: PipelineBundle, words: Sequence[str]) -> NDArray[np.int32]:
    """TEXTS prompts, cut to the longest; first each word in the first template."""
    clip = bundle.manifest.clip
    prompts = [template.replace("{}", word) for template in clip.templates for word in words][:TEXTS]
    tokens = Tokenizer(bundle.path(clip.merges), context_length=clip.context_length)(prompts)
    return np.ascontiguousarray(tokens[:, : int(tokens.argmax(1).max()) + 1])  # the end token has the largest number


def _prompts(side: int) -> Arrays:
    """PROMPTS single points on a grid over SAM2's square."""
    steps = (np.arange(PROMPTS) + 0.5) / PROMPTS
    rows = np.arange(PROMPTS) * 13 % PROMPTS  # spreads the points over the whole square
    points = np.stack([steps * side, steps[rows] * side], axis=-1)
    return {
        "point_coords": points[:, None].astype(np.float32),  # (N, 1, 2)
        "point_labels": np.ones((PROMPTS, 1), np.int32),
    }


def compare(name: str, graph: Graph, case: Case) -> dict[str, float]:
    """How far a graph's answers are from the case's.

    Returns:
        `<output>`: relative error of each output; `rows`: the largest between a row of a batch that no engine is
        built for (so that rows are padded) and the same input alone, both on this device; and where outputs are
        decisions, how far those agree: `class_map_agreement` of pixels, `worst_mask_iou` of masks.
    """
    found = run_to_host(graph, case.inputs)
    figures = {output: relative_error(found[output], value) for output, value in case.expected.items()}
    part = case.take(min(ODD[name], case.rows))
    figures["rows"] = batch_error(cast(OrtGraph, graph), part.inputs, case.batched)
    if name == "loftup":
        same = found["logits"].argmax(1) == case.expected["logits"].argmax(1)
        figures["class_map_agreement"] = float(same.mean())
    if name in ("sam2_decoder", "sam2_mask_decoder"):
        figures["worst_mask_iou"] = worst_iou(found["masks"], case.expected["masks"])
    return figures


def save_cases(path: Path, cases: dict[str, Case]) -> None:
    """Writes cases as one .npz file."""
    arrays = {
        f"{name}/{kind}/{key}": value
        for name, case in cases.items()
        for kind, values in (("inputs", case.inputs), ("expected", case.expected))
        for key, value in values.items()
    }
    np.savez(path, **cast(dict[str, Any], arrays))


def load_cases(path: Path, bundle: PipelineBundle) -> dict[str, Case]:
    """Reads what save_cases wrote."""
    parts: dict[str, dict[str, Arrays]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for full in stored.files:
            name, kind, key = full.split("/")
            parts.setdefault(name, {}).setdefault(kind, {})[key] = stored[full]
    graphs = bundle.manifest.graphs
    return {name: Case(part["inputs"], part["expected"], batched_inputs(graphs[name])) for name, part in parts.items()}
