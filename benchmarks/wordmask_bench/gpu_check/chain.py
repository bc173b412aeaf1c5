"""The whole chain on synthetic scenes: against the truth, and against another device."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options
from wordmask_bench.quality.metrics import Confusion, mean
from wordmask_bench.quality.scenes import WORDS, SceneReport, to_dict
from wordmask_bench.scenes import generate

Labels = NDArray[np.integer]

MAPS = 8  # scenes that are compared pixel by pixel
AGREEMENT_LIMIT = 0.8  # gross faults alone are under it


def quality(report: SceneReport) -> dict[str, Any]:
    """The figures of quality.scenes that tell a device's fault."""
    full = to_dict(report)
    return {
        "scenes": full["scenes"],
        "class_map_miou": full["maps"]["loftup"]["miou"],
        "masks_miou": full["maps"]["masks"]["miou"],
        "click_iou": full["click"],
        "seconds_a_scene": full["seconds"],
    }


def scene_maps(segmenter: Segmenter, seeds: Sequence[int], *, workers: int = 1) -> dict[str, Labels]:
    """Class map and labelled masks of each scene, asked for its own words.

    Args:
        segmenter: of a bundle that has LoftUp.
        seeds: of the scenes; the first MAPS are taken.
        workers: scenes at the same time.

    Returns:
        `dense/SEED` and `masks/SEED`, u8 (H, W): 0 none, else 1 + index into WORDS.
    """

    def segment(seed: int) -> dict[str, Labels]:
        scene = generate(seed, combinations="test")
        queries = segmenter.embed(Vocabulary.parse(scene.words))
        found = segmenter.segment(scene.image, queries, Options(use_loftup=True, upsample="full"))
        names = np.array([0, *(1 + WORDS.index(word) for word in scene.words)], np.uint8)
        return {f"dense/{seed}": names[found.dense], f"masks/{seed}": names[found.semantic]}

    with ThreadPoolExecutor(workers) as pool:
        parts = list(pool.map(segment, seeds[:MAPS]))
    return {key: value for part in parts for key, value in part.items()}


def agreement(found: dict[str, Labels], expected: dict[str, Labels]) -> dict[str, Any]:
    """Share of equal pixels of the class maps, and mean IoU by word of the labelled masks; 1 is the same.

    Less than rounding explains is an error.
    """
    same = [float((value == expected[key]).mean()) for key, value in found.items() if key.startswith("dense/")]
    masks = Confusion(len(WORDS) + 1)
    for key, value in found.items():
        if key.startswith("masks/"):
            masks.add(expected[key], value)
    figures: dict[str, Any] = {"class_map": float(np.mean(same))}
    iou = masks.iou()[1:]
    if not np.isnan(iou).all():  # else there is no mask to compare with
        figures["mask_iou"] = mean(iou)
    low = {key: value for key, value in figures.items() if not value >= AGREEMENT_LIMIT}
    if low:
        figures["error"] = f"{low}: under {AGREEMENT_LIMIT:g}, that is no rounding"
    return {**figures, "worst_class_map": min(same)}
