"""Counts over a dataset's photos for one kind of class map, and the figures computed from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.datasets.labels import IGNORED
from wordmask_bench.quality.metrics import Confusion, Labels, is_small, mean, outline

OUTLINE = 0.02  # width of the outlines in boundary IoU, as a share of the photo's diagonal (Cheng et al. 2021)
LEAST_REGION = 16  # pixels: smaller regions are noise in the labels
_NOT_COUNTED = np.iinfo(np.uint16).max - 1  # ignored pixels have it in both maps, so that they give the same outline


@dataclass(frozen=True)
class Figures:
    """Quality of one kind of class map; nan if a figure does not exist.

    Attributes:
        miou: mean of per_class.
        miou_occurring: the same over the classes that occur in the labels; it differs if few photos are measured.
        boundary_iou: mean of per_class_boundary.
        accuracy: share of the counted pixels that are right.
        small_recall: share of the small regions of which at least half is found.
        small_regions: number of small regions.
        per_class: IoU by class name; 0 for a class that was predicted but does not occur, as in mmsegmentation.
        per_class_boundary: boundary IoU by class name.
    """

    miou: float
    miou_occurring: float
    boundary_iou: float
    accuracy: float
    small_recall: float
    small_regions: int
    per_class: dict[str, float]
    per_class_boundary: dict[str, float]


class Tally:
    """Counts of one kind of class map.

    Attributes:
        names: of the classes.
        first_object: the first class whose small regions count: 1 where class 0 is the background.
    """

    def __init__(self, names: tuple[str, ...], first_object: int) -> None:
        self.names, self.first_object = names, first_object
        self._everywhere = Confusion(len(names))
        self._outlines = np.zeros((3, len(names)), np.int64)  # pixels of each class: in both outlines, true, found
        self._small_found = self._small = 0

    def add(self, true: Labels, found: Labels) -> None:
        """Counts one photo.

        Args:
            true: (H, W), class or IGNORED.
            found: (H, W), class, or the number of classes for no class.
        """
        self._everywhere.add(true, found)
        self._add_outlines(true, found)
        for part in small_regions(true, range(self.first_object, len(self.names))):
            self._small += 1
            self._small_found += part.found_in(found)

    def _add_outlines(self, true: Labels, found: Labels) -> None:
        ignored = true == IGNORED
        width = max(1, round(OUTLINE * float(np.hypot(*true.shape))))
        seen = np.where(ignored, _NOT_COUNTED, found)
        near_true = outline(np.where(ignored, _NOT_COUNTED, true), width) & ~ignored
        near_found = outline(seen, width) & ~ignored
        near_both = near_true & near_found & (true == found)
        near_found &= found < len(self.names)
        inside = (true[near_both], true[near_true], found[near_found])
        self._outlines += np.stack([np.bincount(labels, minlength=len(self.names)) for labels in inside])

    def merge(self, other: Tally) -> None:
        """Adds another's counts."""
        self._everywhere.counts += other._everywhere.counts
        self._outlines += other._outlines
        self._small += other._small
        self._small_found += other._small_found

    def figures(self) -> Figures:
        """Figures from the counts."""
        areas = self._everywhere.iou(punish_absent=True)
        both, true, found = self._outlines
        union = true + found - both
        outlines = np.where(union > 0, both / np.maximum(union, 1), np.nan)
        return Figures(
            miou=mean(areas),
            miou_occurring=mean(self._everywhere.iou()),
            boundary_iou=mean(outlines),
            accuracy=self._everywhere.accuracy(),
            small_recall=self._small_found / self._small if self._small else float("nan"),
            small_regions=self._small,
            per_class=dict(zip(self.names, areas.tolist(), strict=True)),
            per_class_boundary=dict(zip(self.names, outlines.tolist(), strict=True)),
        )


@dataclass(frozen=True, eq=False)
class Region:
    """A connected region of one class: mask bool (h, w) inside its box (x0, y0, x1, y1, exclusive ends)."""

    class_index: int
    mask: NDArray[np.bool_]
    box: tuple[int, int, int, int]

    def found_in(self, found: Labels) -> bool:
        """Whether at least half of the region has its class in a map (H, W)."""
        x0, y0, x1, y1 = self.box
        right = (found[y0:y1, x0:x1] == self.class_index) & self.mask
        return 2 * int(np.count_nonzero(right)) >= int(np.count_nonzero(self.mask))


def small_regions(labels: Labels, classes: range) -> Iterator[Region]:
    """The 8-connected regions of some classes that are small (see is_small) and have at least LEAST_REGION pixels."""
    for index in np.unique(labels):
        if int(index) not in classes:
            continue
        _, numbers, boxes, _ = cv2.connectedComponentsWithStats((labels == index).astype(np.uint8), connectivity=8)
        for number, (x, y, width, height, area) in enumerate(boxes.tolist()):
            box = (x, y, x + width, y + height)
            if number > 0 and area >= LEAST_REGION and is_small(box):
                yield Region(int(index), numbers[y : y + height, x : x + width] == number, box)
