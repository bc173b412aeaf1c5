"""Quality of objects: masks with a wrong word, duplicates, scattered masks, objects found, average precision."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.types import Instance
from wordmask_bench.quality.metrics import iou, mean
from wordmask_bench.scenes import Scene

MIN_ON_WORD = 0.5  # a mask is off its word if a smaller share of its pixels has the word's label
DUPLICATE_IOU = 0.8  # two masks of different words with a larger IoU are duplicates
MAX_SCATTERED = 0.05  # a mask is scattered if a larger share lies outside its largest 8-connected piece
SIZES = {"small": (0, 32**2), "medium": (32**2, 96**2), "large": (96**2, float("inf"))}  # COCO's, pixels
OBJECT_ROWS = {
    "masks": "masks a scene",
    "off_word": "masks off their word",
    "duplicates": "pairs of masks of two words, IoU over 0.8",
    "scattered": "masks in pieces",
    "found_50": "objects found at IoU 0.5",
    "found_75": "objects found at IoU 0.75",
    "ap": "average precision (COCO)",
}


@dataclass(frozen=True, eq=False)
class Labelled:
    """A mask bool (H, W) with its class; a predicted one has a score."""

    mask: BoolMask
    class_index: int
    score: float = 1.0


class ObjectTally:
    """True and predicted objects of all scenes."""

    def __init__(self) -> None:
        self.masks = self.off_word = self.duplicates = self.scattered = 0
        self.best: list[tuple[int, float]] = []  # area of each true object, and the IoU of its best mask
        self._scenes: list[tuple[list[Labelled], list[Labelled]]] = []

    def add(self, scene: Scene, instances: Sequence[Instance], class_of: NDArray[np.int64]) -> None:
        """Adds a scene.

        Args:
            scene: gives the true objects and labels.
            instances: predicted.
            class_of: the scene's class index of each word of the vocabulary.
        """
        found = [Labelled(rle.decode(i.mask), int(class_of[i.class_index]), i.score) for i in instances]
        true = [Labelled(thing.mask, thing.class_index) for thing in scene.instances]
        self.masks += len(found)
        self.off_word += sum((scene.class_map[each.mask] == each.class_index).mean() < MIN_ON_WORD for each in found)
        self.scattered += sum(outside_largest_piece(each.mask) > MAX_SCATTERED for each in found)
        self.duplicates += sum(
            one.class_index != other.class_index and iou(one.mask, other.mask) > DUPLICATE_IOU
            for k, one in enumerate(found)
            for other in found[:k]
        )
        for thing in true:
            overlaps = [iou(each.mask, thing.mask) for each in found if each.class_index == thing.class_index]
            self.best.append((int(np.count_nonzero(thing.mask)), max(overlaps, default=0.0)))
        self._scenes.append((true, found))

    def figures(self) -> dict[str, float]:
        """Figures named as in OBJECT_ROWS, and objects found by size; nan where there are no objects."""
        count = max(self.masks, 1)
        areas, best = (np.array(column, np.float64) for column in zip(*self.best, strict=True))
        found = {
            f"found_{round(limit * 100)}_{name}": share
            for limit in (0.5, 0.75)
            for name, share in by_size(areas, (best >= limit).astype(float)).items()
        }
        return {
            "masks": self.masks / len(self._scenes),
            "off_word": self.off_word / count,
            "duplicates": float(self.duplicates),
            "scattered": self.scattered / count,
            "found_50": mean((best >= 0.5).astype(float)),
            "found_75": mean((best >= 0.75).astype(float)),
            **found,
            "ap": average_precision(self._scenes),
        }


def by_size(areas: ArrayLike, values: ArrayLike) -> dict[str, float]:
    """Mean value of small, medium and large objects, by areas in pixels (see SIZES); nan without such objects."""
    area, value = np.asarray(areas), np.asarray(values, np.float64)
    return {name: mean(value[(area >= low) & (area < high)]) for name, (low, high) in SIZES.items()}


def outside_largest_piece(mask: BoolMask) -> float:
    """Share of a mask's area that lies outside its largest 8-connected piece; 0 for an empty mask."""
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    return float(1 - areas.max() / areas.sum()) if len(areas) else 0.0


def average_precision(scenes: Sequence[tuple[Sequence[Labelled], Sequence[Labelled]]]) -> float:
    """COCO's mask AP at IoU 0.50 to 0.95, from each scene's true and predicted objects; nan without pycocotools."""
    if importlib.util.find_spec("pycocotools") is None:
        return float("nan")
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    true = [_row(thing, number) for number, (things, _) in enumerate(scenes, 1) for thing in things]
    found = [_row(thing, number) for number, (_, things) in enumerate(scenes, 1) for thing in things]
    if not true or not found:
        return 0.0 if true else float("nan")
    categories = [{"id": k} for k in sorted({row["category_id"] for row in true})]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [
                {"id": number, "height": things[0].mask.shape[0], "width": things[0].mask.shape[1]}
                for number, (things, _) in enumerate(scenes, 1)
                if things
            ],
            "annotations": [{**row, "id": k, "iscrowd": 0} for k, row in enumerate(true, 1)],
            "categories": categories,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def _row(thing: Labelled, image: int) -> dict[str, Any]:
    from pycocotools import mask as coco_mask  # noqa: PLC0415

    code = coco_mask.encode(np.asfortranarray(thing.mask, np.uint8))
    return {
        "image_id": image,
        "category_id": thing.class_index,
        "segmentation": code,
        "area": int(np.count_nonzero(thing.mask)),
        "bbox": coco_mask.toBbox(code).tolist(),
        "score": thing.score,
    }
