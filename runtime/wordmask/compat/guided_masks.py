"""From probabilities to masks: the PyTorch pipeline's functions and lists of dictionaries. Public through compat."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.opening import open_bundle
from wordmask.bundle.search import find_bundle
from wordmask.compat.checkpoint_bundle import bundle_of_checkpoint
from wordmask.objects import masks
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.reading import check_rgb
from wordmask.pipeline import Segmenter
from wordmask.types import Options, Prompt

Point = tuple[int, int]
_loaded: weakref.WeakValueDictionary[tuple[str, str, str], Segmenter] = weakref.WeakValueDictionary()


class GuidedPrompt(TypedDict):
    """One point prompt for SAM2.

    Keys:
        point: x and y in pixels of the photo.
        class_idx, class_name: index into the vocabulary, and the entry there.
        confidence: mean probability of the class over its region, 0 to 1.
        region_size: pixels of the region.
        negative_points: x and y of points that lie outside the object.
    """

    point: Point
    class_idx: int
    class_name: str
    confidence: float
    region_size: int
    negative_points: list[Point]


class GuidedMask(TypedDict):
    """SAM2's mask for one prompt.

    Keys:
        mask: bool (H, W).
        class_idx, class_name, confidence, region_size: as in the prompt.
        sam_score: SAM2's own estimate of the mask's IoU.
        prompt_point: the prompt's point.
    """

    mask: BoolMask
    class_idx: int
    class_name: str
    confidence: float
    sam_score: float
    region_size: int
    prompt_point: Point


def shared_segmenter(bundle: str | Path | None, device: str) -> Segmenter:
    """Loads a bundle, or returns its segmenter if one is in use, so that models are in memory once."""
    folder = find_bundle(bundle).resolve()
    key = (str(folder), read_manifest(folder).bundle_id, device)
    segmenter = _loaded.get(key)
    if segmenter is None:
        segmenter = _loaded[key] = Segmenter(open_bundle(folder), device=device)
    return segmenter


def extract_prompt_points_from_upsampled(
    seg_map: NDArray[np.integer],
    probs: Floats,
    vocabulary: Sequence[str],
    min_confidence: float = 0.7,
    min_region_size: int = 100,
    *,
    points_per_cluster: int = 1,
    negative_points_per_cluster: int = 0,
    negative_confidence_threshold: float = 0.8,
) -> list[GuidedPrompt]:
    """One prompt for every confident region of every class.

    The work is that of `wordmask.objects.prompts.extract_prompts`, with two differences to the PyTorch function: the
    point of a region whose centroid lies outside it is its innermost pixel, and the confidence is the mean over the
    region.

    Args:
        seg_map: integers (H, W), indices into the vocabulary; negative ones belong to no class.
        probs: floats (H, W, C), the classes' probabilities, 0 to 1: the softmax of `predict_dense`'s logits.
        vocabulary: C class names.
        min_confidence: a pixel belongs to a region if the probability of its class is above this.
        min_region_size: pixels of the smallest region that gets a prompt.
        points_per_cluster: prompts a region, each with one point.
        negative_points_per_cluster: points on other classes in each prompt.
        negative_confidence_threshold: confidence of their pixels.

    Returns:
        By class, within a class by falling size.

    Raises:
        ValueError: shapes that do not fit each other, or a threshold out of range.
    """
    if probs.shape != (*seg_map.shape, len(vocabulary)):
        expected = (*seg_map.shape, len(vocabulary))
        raise ValueError(f"probs has the shape {probs.shape}, expected (H, W, classes) = {expected}")
    if seg_map.size and seg_map.max() >= len(vocabulary):
        raise ValueError(f"seg_map has the class {seg_map.max()}, the vocabulary only {len(vocabulary)} entries")
    options = Options(
        min_confidence=min_confidence,
        min_region_size=min_region_size,
        points_per_region=points_per_cluster,
        negative_points=negative_points_per_cluster,
        negative_min_confidence=negative_confidence_threshold,
    )
    confidence = np.take_along_axis(probs, np.maximum(seg_map, 0)[..., None], axis=2)[..., 0]  # (H, W)
    found = extract_prompts(seg_map, confidence.astype(np.float32, copy=False), len(vocabulary), options)
    return [_as_dict(prompt, point, vocabulary) for prompt in found for point in _points(prompt, 1)]


def _points(prompt: Prompt, label: int) -> list[Point]:
    return [(int(x), int(y)) for x, y in prompt.points[prompt.labels == label]]


def _as_dict(prompt: Prompt, point: Point, vocabulary: Sequence[str]) -> GuidedPrompt:
    return {
        "point": point,
        "class_idx": prompt.class_index,
        "class_name": vocabulary[prompt.class_index],
        "confidence": prompt.confidence,
        "region_size": prompt.region_size,
        "negative_points": _points(prompt, 0),
    }


def segment_with_guided_prompts(
    image: NDArray[np.uint8],
    prompts: Sequence[GuidedPrompt],
    checkpoint_path: str | Path | None = None,
    model_cfg: str | None = None,
    device: str | None = None,
    *,
    bundle: str | Path | None = None,
) -> list[GuidedMask]:
    """SAM2's mask for every prompt, all prompts in a few runs.

    A single point takes the best of SAM2's three masks by its own estimate; with negative points it is the single mask
    that SAM2 advises there (the PyTorch function took the best of three).

    Args:
        image: u8 (H, W, 3), RGB.
        prompts: of this photo; of each `point`, `class_idx`, `class_name`, `confidence`, `region_size` and, where it is
            there, `negative_points` are read.
        checkpoint_path: a SAM2 checkpoint: at first a bundle is built from it, which takes minutes and the extra
            `export`, later that one is taken (see wordmask.compat.checkpoint_bundle).
        model_cfg: the checkpoint's SAM2 configuration, by default told from the checkpoint's name.
        device: as for `wordmask.Segmenter`; `cpu` by default.
        bundle: name or folder, instead of a checkpoint. The models of a segmentor of the same bundle and device that
            is in use are taken, not loaded anew.

    Returns:
        One dictionary a prompt, in their order.

    Raises:
        BundleError: the bundle is missing or damaged, or cannot be built.
        MissingExtraError: a bundle must be built and the extra is missing.
        ValueError: the image is no RGB image, or a bundle and a checkpoint are given.
    """
    if checkpoint_path is not None:
        if bundle is not None:
            raise ValueError("both a bundle and a checkpoint are given: leave one of them out")
        bundle = bundle_of_checkpoint(Path(checkpoint_path), model_cfg)
    photo = check_rgb(image)
    size = (photo.shape[0], photo.shape[1])
    if not prompts:
        return []
    segmenter = shared_segmenter(bundle, device or "cpu")
    asked = [_as_prompt(prompt) for prompt in prompts]
    low_res, iou = segmenter.decode(segmenter.encode(photo), asked)
    threshold = segmenter.manifest.sam2.mask_threshold
    found: list[GuidedMask] = []
    for prompt, logits, score in zip(prompts, low_res, iou.tolist(), strict=True):
        mask = np.zeros(size, np.bool_)
        placed = masks.upsample(logits, size, mask_threshold=threshold)
        if placed is not None:
            inside, (x0, y0, x1, y1) = placed
            mask[y0:y1, x0:x1] = inside
        found.append(
            {
                "mask": mask,
                "class_idx": prompt["class_idx"],
                "class_name": prompt["class_name"],
                "confidence": prompt["confidence"],
                "sam_score": score,
                "region_size": prompt["region_size"],
                "prompt_point": prompt["point"],
            }
        )
    return found


def _as_prompt(prompt: GuidedPrompt) -> Prompt:
    outside = prompt.get("negative_points", [])
    return Prompt(
        class_index=prompt["class_idx"],
        points=np.array([prompt["point"], *outside], np.float32),
        labels=np.array([1] + [0] * len(outside), np.int32),
        confidence=prompt["confidence"],
        region_size=prompt["region_size"],
    )


def merge_overlapping_masks(results: Sequence[GuidedMask], iou_threshold: float = 0.8) -> list[GuidedMask]:
    """Keeps one of several masks of a class that cover the same pixels: the one of the highest CLIP confidence.

    Within a class the masks are taken by falling confidence (the first where equal); one is dropped if its IoU with any
    kept one is above the threshold, and so are empty masks: what `wordmask.objects.masks.drop_duplicates` does, on full
    masks.

    Args:
        results: of `segment_with_guided_prompts`; `mask` (H, W), `class_idx` and `confidence` are read.
        iou_threshold: 0 to 1.

    Returns:
        Those that are kept, by falling confidence.
    """
    kept: list[tuple[GuidedMask, tuple[BoolMask, masks.Box]]] = []
    for result in sorted(results, key=lambda result: -result["confidence"]):
        own = masks.cut(np.asarray(result["mask"], np.bool_))
        if own is None:
            continue
        rivals = [placed for other, placed in kept if other["class_idx"] == result["class_idx"]]
        if all(masks.iou(placed, own) <= iou_threshold for placed in rivals):
            kept.append((result, own))
    return [result for result, _ in kept]
