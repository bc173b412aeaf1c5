"""Losses of SAM2's training: of masks, and auxiliary losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wordmask_bench.scenes import COLOURS, PATTERNS
from wordmask_export.tiny.data import PATTERN_WORDS


def appearance_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of each word's colour (or background) and pattern (or none); objects have four times the weight.

    For words of wordmask_bench.scenes; those of things have no such loss.
    """
    is_object = words < PATTERN_WORDS
    many = len(PATTERNS)
    colour = torch.where(is_object, words // many, words - PATTERN_WORDS + len(COLOURS))
    pattern = torch.where(is_object, words % many, many)
    parts = logits.float().flatten(0, -2).split([logits.shape[-1] - many - 1, many + 1], dim=-1)
    weight = (1 + 3 * is_object).flatten()
    both = [F.cross_entropy(p, t.flatten(), reduction="none") for p, t in zip(parts, (colour, pattern), strict=True)]
    return (torch.stack(both).sum(0) * weight).sum() / weight.sum()


def similarity_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy of logits (B, K, K) that two positions have the same word (B, K); rare words have more weight."""
    same = words[:, :, None] == words[:, None]
    weight = same.float().mean(2).rsqrt()
    weight = weight[:, :, None] * weight[:, None]
    return (F.binary_cross_entropy_with_logits(logits, same.float(), reduction="none") * weight).sum() / weight.sum()


def mask_losses(masks: Tensor, target: Tensor) -> Tensor:
    """Dice loss plus cross-entropy over the whole mask and where the object or the mask is: (N, M).

    Args:
        masks: logits (N, M, h, w). They are resized bilinearly to the target's size, as the runtime does.
        target: coverage (N, H, W), H and W multiples of 4.
    """
    masks = F.interpolate(masks, size=target.shape[1:], mode="bilinear", align_corners=False)
    wanted = target[:, None].expand_as(masks)
    entropy = F.binary_cross_entropy_with_logits(masks, wanted, reduction="none")
    found = masks.sigmoid()
    near = F.max_pool2d(F.max_pool2d(target[:, None], 4), 3, stride=1, padding=1).ceil()  # (N, 1, H/4, W/4)
    near = near.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    weight = torch.maximum(near, found.detach())  # other objects that the mask takes count as pixels near the object
    local = (entropy * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1.0)
    dice = 1 - (2 * (found * wanted).sum((2, 3)) + 1) / ((found + wanted).sum((2, 3)) + 1)
    return dice + entropy.mean((2, 3)) + local


def ious(masks: Tensor, target: Tensor) -> Tensor:
    """IoU (N, M) of logits (N, M, h, w) above 0 with coverage (N, H, W), averaged to that size, above one half."""
    coverage = F.adaptive_avg_pool2d(target[:, None], (masks.shape[2], masks.shape[3]))
    found, right = masks > 0, coverage > 0.5
    both, either = (found & right).sum((2, 3)), (found | right).sum((2, 3))
    return both / either.clamp_min(1)
