"""The names of the PyTorch pipeline that wordmask grew out of, for scripts that were written for it.

The same arguments, shapes and units, with numpy arrays in place of tensors and without torch. docs/migrating.md shows
old and new side by side and lists the differences. New code is better served by `wordmask.Segmenter`.
"""

from __future__ import annotations

from wordmask.compat.guided_masks import (
    GuidedMask,
    GuidedPrompt,
    extract_prompt_points_from_upsampled,
    merge_overlapping_masks,
    segment_with_guided_prompts,
)
from wordmask.compat.segmentors import LoftUpSCLIPSegmentor, SCLIPSegmentor, VocResult, evaluate_on_pascal_voc

__all__ = [
    "GuidedMask",
    "GuidedPrompt",
    "LoftUpSCLIPSegmentor",
    "SCLIPSegmentor",
    "VocResult",
    "evaluate_on_pascal_voc",
    "extract_prompt_points_from_upsampled",
    "merge_overlapping_masks",
    "segment_with_guided_prompts",
]
