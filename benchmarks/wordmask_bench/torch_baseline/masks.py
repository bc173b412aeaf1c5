"""What PyTorch's side does with its masks, as one does it there: duplicates by IoU, labels, code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from wordmask import rle
from wordmask.types import Instance, Prompt
from wordmask_bench.torch_baseline.chain import Masks


def keep_masks(
    found: Masks, prompts: Sequence[Prompt], words: Sequence[str], iou_threshold: float
) -> tuple[NDArray[np.uint16], tuple[Instance, ...]]:
    """The semantic map u16 (H, W) and the instances by falling score, by the rules of wordmask.objects.masks."""
    masks = found.masks
    kept = _distinct(masks, prompts, iou_threshold)
    scored = sorted(kept, key=lambda i: -prompts[i].confidence * float(found.iou[i]))
    semantic = np.zeros(masks.shape[1:], np.uint16)
    for i in reversed(scored):
        semantic[masks[i]] = prompts[i].class_index + 1
    return semantic, tuple(_instance(masks[i], float(found.iou[i]), prompts[i], words) for i in scored)


def _distinct(masks: NDArray[np.bool_], prompts: Sequence[Prompt], iou_threshold: float) -> list[int]:
    """Per class the more confident of masks that overlap more than the threshold; none that is empty."""
    kept: list[int] = []
    for class_index in {prompt.class_index for prompt in prompts}:
        members = [i for i, prompt in enumerate(prompts) if prompt.class_index == class_index]
        flat = torch.from_numpy(masks[members]).flatten(1).float()  # (n, H*W)
        both = (flat @ flat.T).numpy()
        areas = both.diagonal()
        iou = both / np.maximum(areas[:, None] + areas - both, 1)
        chosen: list[int] = []
        for k in sorted(range(len(members)), key=lambda k: -prompts[members[k]].confidence):
            if areas[k] and all(iou[k, other] <= iou_threshold for other in chosen):
                chosen.append(k)
        kept += [members[k] for k in chosen]
    return sorted(kept)


def _instance(mask: NDArray[np.bool_], iou: float, prompt: Prompt, words: Sequence[str]) -> Instance:
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
        score=prompt.confidence * iou,
        points=prompt.points,
        labels=prompt.labels,
    )
