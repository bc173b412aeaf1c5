"""From SAM2's low-resolution masks to the objects of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wordmask.arrays import BoolMask, Floats
from wordmask.objects.masks import drop_duplicates, upsample
from wordmask.rle import encode_box
from wordmask.types import Instance, Prompt


def make_instances(
    prompts: Sequence[Prompt],
    low_res: Floats,
    iou: Floats,
    names: Sequence[str],
    size: tuple[int, int],
    *,
    iou_threshold: float,
    mask_threshold: float,
) -> tuple[Instance, ...]:
    """Drops duplicates and brings the rest to full resolution.

    Args:
        prompts: N prompts of a photo.
        low_res: f32 (N, m, m), SAM2's logits for them.
        iou: f32 (N,), SAM2's estimates of the masks' IoU.
        names: of the classes.
        size: height and width of the photo.
        iou_threshold: of two masks of a class that overlap more, the less confident is dropped.
        mask_threshold: a pixel is in the mask if its upsampled logit is above this.

    Returns:
        In falling score.
    """
    class_index = np.array([prompt.class_index for prompt in prompts], np.int64)
    confidence = np.array([prompt.confidence for prompt in prompts], np.float32)
    kept = drop_duplicates(low_res, class_index, confidence, size, iou_threshold, mask_threshold=mask_threshold)
    found = []
    for i in kept.tolist():
        placed = upsample(low_res[i], size, mask_threshold=mask_threshold)
        if placed is not None:
            found.append(_instance(prompts[i], float(iou[i]), *placed, names, size))
    return tuple(sorted(found, key=lambda instance: -instance.score))


def _instance(
    prompt: Prompt,
    iou: float,
    mask: BoolMask,
    box: tuple[int, int, int, int],
    names: Sequence[str],
    size: tuple[int, int],
) -> Instance:
    return Instance(
        word=names[prompt.class_index],
        class_index=prompt.class_index,
        mask=encode_box(mask, box[0], box[1], size),
        box=box,
        area=int(np.count_nonzero(mask)),
        clip_confidence=prompt.confidence,
        sam_iou=iou,
        score=prompt.confidence * iou,
        points=prompt.points,
        labels=prompt.labels,
    )
