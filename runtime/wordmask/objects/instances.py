"""From SAM2's low-resolution masks to the objects of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.objects.agreement import agreements, keep_prompted_pieces
from wordmask.objects.masks import Box, drop_duplicates, upsample
from wordmask.rle import encode_box
from wordmask.types import Instance, Options, Prompt


def make_instances(
    prompts: Sequence[Prompt],
    low_res: Floats,
    iou: Floats,
    names: Sequence[str],
    class_map: NDArray[np.integer],
    confidence: Floats,
    options: Options,
    *,
    mask_threshold: float,
) -> tuple[Instance, ...]:
    """Checks masks against the class map, drops those below min_score and duplicates, and brings the rest to full size.

    Args:
        prompts: N prompts of a photo.
        low_res: f32 (N, m, m), SAM2's logits for them.
        iou: f32 (N,), SAM2's estimates of the masks' IoU.
        names: of the classes.
        class_map: integers (H, W), the class of each pixel of the photo; the background's is len(names).
        confidence: f32 (H, W), the probability of that class.
        options: mask_pieces, min_score, iou_threshold and across_words_iou are read.
        mask_threshold: a pixel is in the mask if its upsampled logit is above this.

    Returns:
        In falling score.
    """
    size = (class_map.shape[0], class_map.shape[1])
    if options.mask_pieces == "prompted":
        low_res = keep_prompted_pieces(low_res, prompts, size, mask_threshold=mask_threshold)
    classes = np.array([prompt.class_index for prompt in prompts], np.int64)
    agreement = agreements(low_res, classes, class_map, confidence, mask_threshold=mask_threshold)
    score = agreement * iou
    good = np.flatnonzero(score >= options.min_score)
    kept = drop_duplicates(
        low_res[good],
        classes[good],
        score[good],
        size,
        options.iou_threshold,
        across_classes_iou=options.across_words_iou,
        mask_threshold=mask_threshold,
    )
    found = []
    for i in good[kept].tolist():
        placed = upsample(low_res[i], size, mask_threshold=mask_threshold)
        if placed is not None:
            found.append(_instance(prompts[i], float(iou[i]), float(agreement[i]), *placed, names, size))
    return tuple(sorted(found, key=lambda instance: -instance.score))


def _instance(
    prompt: Prompt, iou: float, agreement: float, mask: BoolMask, box: Box, names: Sequence[str], size: tuple[int, int]
) -> Instance:
    return Instance(
        word=names[prompt.class_index],
        class_index=prompt.class_index,
        mask=encode_box(mask, box[0], box[1], size),
        box=box,
        area=int(np.count_nonzero(mask)),
        clip_confidence=prompt.confidence,
        sam_iou=iou,
        score=agreement * iou,
        points=prompt.points,
        labels=prompt.labels,
        agreement=agreement,
    )
