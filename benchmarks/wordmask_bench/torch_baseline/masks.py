"""Post-processing of masks on PyTorch's side, as usually written: duplicates by IoU, labels, run-length code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wordmask import rle
from wordmask.objects.agreement import agreements
from wordmask.types import Instance, Prompt
from wordmask_bench.torch_baseline.chain import Masks


def keep_masks(
    found: Masks,
    prompts: Sequence[Prompt],
    words: Sequence[str],
    class_map: NDArray[np.integer],
    confidence: NDArray[np.float32],
    iou_threshold: float,
    *,
    side: int = 256,
) -> tuple[NDArray[np.uint16], tuple[Instance, ...]]:
    """The semantic map u16 (H, W) and the instances, highest score first.

    Scores and duplicates within a class follow the rules of wordmask.objects; the other checks are left out.

    Args:
        found: masks and SAM2's predicted IoU.
        prompts: of the masks.
        words: the classes.
        class_map: integers (H, W).
        confidence: f32 (H, W), the probability of each pixel's class.
        iou_threshold: if two masks of a class have a higher IoU, the one with the lower score is dropped.
        side: of the grid on which masks and class map are compared; SAM2's mask_size.
    """
    masks = found.masks
    classes = [prompt.class_index for prompt in prompts]
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(np.intp) for length in masks.shape[1:])
    sampled = np.where(masks[:, rows[:, None], columns], 1.0, -1.0).astype(np.float32)
    agreement = agreements(sampled, np.array(classes), class_map, confidence, mask_threshold=0.0)
    score = agreement * found.iou
    kept = sorted(_distinct(masks, classes, score, iou_threshold), key=lambda i: -score[i])
    semantic = np.zeros(masks.shape[1:], np.uint16)
    for i in reversed(kept):
        semantic[masks[i]] = classes[i] + 1
    return semantic, tuple(
        _instance(masks[i], float(found.iou[i]), float(agreement[i]), prompts[i], words) for i in kept
    )


def _distinct(
    masks: NDArray[np.bool_], classes: Sequence[int], score: NDArray[np.floating], iou_threshold: float
) -> list[int]:
    """Indices of the masks that are kept: not empty, and not a duplicate of a mask with a higher score."""
    kept: list[int] = []
    for class_index in set(classes):
        members = [i for i, other in enumerate(classes) if other == class_index]
        flat = torch.from_numpy(masks[members]).flatten(1).float()  # (n, H*W)
        both = (flat @ flat.T).numpy()
        areas = both.diagonal()
        iou = both / np.maximum(areas[:, None] + areas - both, 1)
        chosen: list[int] = []
        for k in sorted(range(len(members)), key=lambda k: -score[members[k]]):
            if areas[k] and all(iou[k, other] <= iou_threshold for other in chosen):
                chosen.append(k)
        kept += [members[k] for k in chosen]
    return sorted(kept)


def _instance(mask: NDArray[np.bool_], iou: float, agreement: float, prompt: Prompt, words: Sequence[str]) -> Instance:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x0, y0, x1, y1 = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return Instance(
        word=words[prompt.class_index],
        class_index=prompt.class_index,
        mask=rle.encode_box(mask[y0:y1, x0:x1], x0, y0, (mask.shape[0], mask.shape[1])),
        box=(x0, y0, x1, y1),
        area=int(np.count_nonzero(mask)),
        clip_confidence=prompt.confidence,
        sam_iou=iou,
        score=agreement * iou,
        points=prompt.points,
        labels=prompt.labels,
        agreement=agreement,
    )
