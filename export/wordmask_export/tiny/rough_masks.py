"""Masks as a class map would have them, for SAM2's training on prompts with masks."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.objects.mask_choice import REGION_LOGIT

NOISE = ((0.35, 8), (0.3, 32))  # strength at the outline, and size in pixels of the masks
REACH = 9  # pixels: errors are near the object
STEEPNESS = 2 * REGION_LOGIT  # logits of half of a pixel's coverage


def rough_masks(rng: np.random.Generator, coverage: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blurs masks and adds noise near them, each by an amount of its own.

    Args:
        rng: source of randomness.
        coverage: f32 (N, s, s), 0 to 1; s a multiple of 32.

    Returns:
        Logits f32 (N, 1, s / 2, s / 2), as mask prompts of SAM2 (see wordmask.objects.mask_choice.region_logits).
    """
    return np.stack([_rough(rng, mask) for mask in coverage])[:, None]


def _rough(rng: np.random.Generator, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    side = mask.shape[0]
    small = cv2.resize(mask, (side // 2, side // 2), interpolation=cv2.INTER_AREA)
    blurred = cv2.blur(cv2.blur(small, (5, 5)), (5, 5))
    share, amount = rng.uniform(size=2).astype(np.float32)
    value = share * blurred + (1 - share) * small
    near = cv2.dilate(small, np.ones((REACH, REACH), np.uint8))
    for strength, size in NOISE:
        noise = rng.normal(0, strength, (side // size, side // size)).astype(np.float32)
        value = value + amount * near * cv2.resize(noise, (side // 2, side // 2))
    return np.asarray(np.clip((value - 0.5) * STEEPNESS, -REGION_LOGIT, REGION_LOGIT), np.float32)
