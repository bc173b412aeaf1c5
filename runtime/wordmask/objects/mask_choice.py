"""Chooses one of the four masks that SAM2's decoder gives for each prompt.

The first mask is meant for several points or a box. The other three answer a single click, which is ambiguous: part,
object or whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.backends import Graph, Value, run_to_host, to_host
from wordmask.bundle.manifest import Sam2
from wordmask.types import Prompt

CANDIDATES = 4  # masks a prompt
INSIDE = 1  # the label of a positive point
REGION_LOGIT = 6.0  # of a mask prompt, inside
Choice = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The decoder's masks for N prompts.

    Attributes:
        masks: f32 (N, 4, m, m), logits; on a GPU they stay there.
        iou: f32 (N, 4), SAM2's estimate of each mask's IoU.
        pick: takes one mask of each prompt where the masks lie (wordmask.objects.device_graphs); None copies all of
            them to the host.
    """

    masks: Value
    iou: Floats
    pick: Graph | None = None

    def take(self, choice: Choice) -> Floats:
        """Logits f32 (N, m, m) of the candidates with these indices (N,)."""
        if isinstance(self.masks, np.ndarray) or self.pick is None:
            taken: Floats = to_host(self.masks)[np.arange(len(choice)), choice]
            return taken
        flat = (np.arange(len(choice)) * CANDIDATES + choice).astype(np.int32)
        picked: Floats = run_to_host(self.pick, {"masks": self.masks, "choice": flat})["picked"]
        return picked


MaskChooser = Callable[[Candidates, Sequence[Prompt], Sam2], Choice]
"""Gives the index, 0 to 3, of the mask to take for each of N prompts with the same number of points."""


def choose_as_sam2(candidates: Candidates, prompts: Sequence[Prompt], constants: Sam2) -> Choice:
    """The choice of SAM2ImagePredictor.

    A single point takes the best of the three masks by estimated IoU. Several points or a box take the first mask, or
    the best of three where the first is unstable (MaskDecoder._dynamic_multimask_via_stability).
    """
    best: Choice = 1 + candidates.iou[:, 1:].argmax(axis=1)
    if all(len(prompt.points) == 1 for prompt in prompts):
        return best
    single = np.zeros(len(prompts), np.intp)
    stable = stability(candidates.take(single), constants.stability_delta) >= constants.stability_threshold
    return np.where(stable, single, best)


def stability(masks: Floats, delta: float) -> NDArray[np.float32]:
    """IoU (N,) of masks f32 (N, m, m) at a raised and a lowered threshold; 1 where both are empty."""
    inner, outer = ((masks > threshold).sum(axis=(1, 2), dtype=np.float32) for threshold in (delta, -delta))
    ratio: NDArray[np.float32] = np.where(outer > 0, inner / np.maximum(outer, 1), np.float32(1))
    return ratio


def choose_by_region(class_map: NDArray[np.integer]) -> MaskChooser:
    """The choice of the mask that fits the prompt's region in the class map.

    The region is the connected part of the prompt's class under its positive points, on the masks' grid. The mask with
    the largest product of SAM2's estimate and the IoU with the region is taken; where the grid has no such region, as
    SAM2 chooses.

    Args:
        class_map: integers (H, W), the class of each pixel of the photo.
    """

    def choose(candidates: Candidates, prompts: Sequence[Prompt], constants: Sam2) -> Choice:
        masks = to_host(candidates.masks) > constants.mask_threshold  # (N, 4, m, m)
        regions = prompted_regions(class_map, prompts, constants.mask_size)
        overlap = (masks & regions[:, None]).sum(axis=(2, 3))
        union = (masks | regions[:, None]).sum(axis=(2, 3))
        fit = candidates.iou * overlap / np.maximum(union, 1)
        return np.where(fit.any(axis=1), fit.argmax(axis=1), choose_as_sam2(candidates, prompts, constants))

    return choose


def region_logits(class_map: NDArray[np.integer], side: int) -> Callable[[Sequence[Prompt]], Floats]:
    """Makes the mask of each prompt from its region in the class map (see prompted_regions).

    Args:
        class_map: integers (H, W), the class of each pixel of the photo.
        side: of the masks.

    Returns:
        A function that gives logits f32 (N, side, side) for N prompts: REGION_LOGIT in the region, its negative
        elsewhere.
    """

    def logits(prompts: Sequence[Prompt]) -> Floats:
        regions = prompted_regions(class_map, prompts, side)
        return np.where(regions, np.float32(REGION_LOGIT), np.float32(-REGION_LOGIT))

    return logits


def prompted_regions(class_map: NDArray[np.integer], prompts: Sequence[Prompt], side: int) -> BoolMask:
    """The 8-connected regions of each prompt's class that its positive points touch, on a grid of side by side.

    Args:
        class_map: integers (H, W).
        prompts: N prompts, points in pixels of the photo.
        side: of the grid; the pixel under each cell's centre is taken.

    Returns:
        bool (N, side, side).
    """
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(np.intp) for length in class_map.shape)
    grid = class_map[np.ix_(rows, columns)]

    @cache
    def parts(wanted: int) -> NDArray[np.int32]:
        labels: NDArray[np.int32] = cv2.connectedComponents((grid == wanted).astype(np.uint8), connectivity=8)[1]
        return labels

    to_grid = side / np.array(class_map.shape[::-1])  # x, y
    found = np.zeros((len(prompts), side, side), np.bool_)
    for region, prompt in zip(found, prompts, strict=True):
        points = (prompt.points[prompt.labels == INSIDE] * to_grid).astype(np.intp)
        x, y = np.clip(points, 0, side - 1).T
        labels = parts(prompt.class_index)
        touched = np.unique(labels[y, x])
        region[:] = np.isin(labels, touched[touched > 0])
    return found
