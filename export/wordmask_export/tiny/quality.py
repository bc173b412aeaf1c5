"""Measures a tiny bundle on held-out scenes, through the runtime that users run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import Options, Segmenter
from wordmask_bench.scenes import HELD_OUT, Scene, generate
from wordmask_export.tiny.data import OBJECT_WORDS, WORDS, generator

OTHER_WORDS = 12  # asked for beside those in the scene
BAND, SMALL = 3, 24  # pixels: half the boundary band's width; objects under this are small
FIRST_SEED = 1_000_000


@dataclass
class Tally:
    """Counts of true and found words, and of small objects found."""

    confusion: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(WORDS), len(WORDS) + 1), np.int64))
    band: NDArray[np.int64] = field(default_factory=lambda: np.zeros((len(WORDS), len(WORDS) + 1), np.int64))
    small: list[bool] = field(default_factory=list)

    def add(self, scene: Scene, found: NDArray[np.int64]) -> None:
        """Adds a scene's map: found is an index into WORDS, or len(WORDS) for none."""
        pair = scene.class_map.astype(np.int64) * (len(WORDS) + 1) + found
        near = boundary(scene.class_map)
        shape = self.confusion.shape
        self.confusion += np.bincount(pair.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
        self.band += np.bincount(pair[near], minlength=shape[0] * shape[1]).reshape(shape)
        for instance in scene.instances:
            x0, y0, x1, y1 = instance.box
            if max(x1 - x0, y1 - y0) < SMALL:
                self.small.append(float((found[instance.mask] == instance.class_index).mean()) >= 0.5)

    def figures(self) -> dict[str, float]:
        """Mean IoU over words, in the boundary band too, of words never trained, and small objects found."""
        unseen = np.array([word in HELD_OUT for word in WORDS])
        per_word = iou(self.confusion)
        return {
            "mIoU": float(np.nanmean(per_word)),
            "mIoU objects": float(np.nanmean(per_word[:OBJECT_WORDS])),
            "mIoU unseen": float(np.nanmean(per_word[unseen])),
            "mIoU band": float(np.nanmean(iou(self.band))),
            "pixels right": float(np.trace(self.confusion) / self.confusion.sum()),
            "small found": float(np.mean(self.small)) if self.small else float("nan"),
        }


def iou(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """IoU a word; nan where the word does not occur."""
    right = np.diagonal(confusion).astype(np.float64)
    either = confusion.sum(1) + confusion.sum(0)[: len(WORDS)] - right
    return np.where(confusion.sum(1) > 0, right / np.maximum(either, 1), np.nan)


def boundary(class_map: NDArray[np.uint16]) -> NDArray[np.bool_]:
    """Pixels within BAND of another word."""
    kernel = np.ones((2 * BAND + 1, 2 * BAND + 1), np.uint8)
    different: NDArray[np.bool_] = cv2.dilate(class_map, kernel) != cv2.erode(class_map, kernel)
    return different


def measure(bundle: Path, count: int, *, combinations: str = "test", threads: int | None = None) -> dict[str, float]:
    """Segments held-out scenes, each asked for its own words and 12 others.

    Returns:
        Figures: `loftup ...` and `bilinear ...` of the class map, `masks ...` of the labelled masks, `seconds`.
    """
    segmenter = Segmenter(bundle, threads=threads)
    tallies = {"loftup": Tally(), "bilinear": Tally(), "masks": Tally()}
    seconds: list[float] = []
    objects: list[float] = []
    prompts = 0
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scene = generate(seed, combinations="unseen" if combinations == "unseen" else "test")
        rng = generator(seed, 9)
        others = [word for word in WORDS if word not in scene.words]
        words = [*scene.words, *rng.choice(others, OTHER_WORDS, replace=False).tolist()]
        names = np.array([len(WORDS), *(WORDS.index(word) for word in words)])
        start = time.perf_counter()
        full = segmenter(scene.image, words, background=())
        seconds.append(time.perf_counter() - start)
        plain = segmenter(scene.image, words, background=(), options=Options(use_loftup=False))
        tallies["loftup"].add(scene, names[full.dense])
        tallies["bilinear"].add(scene, names[plain.dense])
        tallies["masks"].add(scene, names[full.semantic])
        prompts += full.prompt_count
        objects += [_best(full.semantic, words, instance.mask, instance.word) for instance in scene.instances]
    figures = {f"{name} {key}": value for name, tally in tallies.items() for key, value in tally.figures().items()}
    figures["objects' IoU"] = float(np.mean(objects))
    figures["prompts a scene"] = prompts / count
    figures["seconds a scene"] = float(np.median(seconds[1:] or seconds))
    return figures


def _best(semantic: NDArray[np.uint16], words: list[str], mask: NDArray[np.bool_], word: str) -> float:
    """IoU of an object with the connected region of its word that overlaps it most."""
    _, regions = cv2.connectedComponents((semantic == words.index(word) + 1).astype(np.uint8), connectivity=4)
    inside = np.bincount(regions[mask])
    if len(inside) < 2:
        return 0.0
    best = 1 + int(inside[1:].argmax())
    both, size = int(inside[best]), int((regions == best).sum())
    return both / (size + int(mask.sum()) - both)
