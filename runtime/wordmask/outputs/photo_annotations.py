"""annotations/NAME.json: the objects of one photo, written by a run and read by whatever uses its results."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wordmask import rle
from wordmask.formats.coco import coco_annotation
from wordmask.formats.json import json_bytes
from wordmask.rle import RLE
from wordmask.types import Instance


def annotations_bytes(photo: str, size: tuple[int, int], instances: Sequence[Instance]) -> bytes:
    """The file's content for a photo of (height, width) pixels."""
    annotations = [coco_annotation(instance) for instance in instances]
    return json_bytes({"file_name": photo, "height": size[0], "width": size[1], "annotations": annotations})


SCORES = ("clip_confidence", "sam_iou", "score", "agreement")


@dataclass(frozen=True)
class PhotoAnnotations:
    """The file as read. It may have been edited since a run wrote it, so `instances` checks each object.

    Attributes:
        size: (height, width) of the photo as displayed.
        entries: COCO annotations without ids (see wordmask.formats.coco), in falling score.
    """

    size: tuple[int, int]
    entries: Sequence[Mapping[str, Any]]

    @classmethod
    def parse(cls, content: bytes) -> PhotoAnnotations:
        """Reads the file's content.

        Raises:
            ValueError: it does not hold annotations of a photo.
        """
        try:
            found = json.loads(content)
            size, entries = (found["height"], found["width"]), found["annotations"]
            if not all(isinstance(entry, dict) for entry in entries):
                raise ValueError("the annotations are not a list of objects")
            return cls((_whole(size[0], 1), _whole(size[1], 1)), entries)
        except (LookupError, TypeError, RecursionError) as error:
            raise ValueError(repr(error)) from error

    def instances(self, words: Sequence[str]) -> tuple[Instance, ...]:
        """The objects, in falling score.

        Raises:
            ValueError: an object is not what a run writes.
        """
        try:
            return tuple(_instance(entry, self.size, words) for entry in self.entries)
        except (LookupError, TypeError) as error:
            raise ValueError(repr(error)) from error


def _instance(entry: Mapping[str, Any], size: tuple[int, int], words: Sequence[str]) -> Instance:
    code = entry["segmentation"]
    mask = RLE((code["size"][0], code["size"][1]), str(code["counts"]))
    if mask.size != size:
        raise ValueError(f"a mask of {mask.size} pixels in a photo of {size}")
    x0, y0, width, height = (_whole(length, 0) for length in entry["bbox"])
    box = (x0, y0, x0 + width, y0 + height)
    area = rle.area(mask)
    if box[2] > size[1] or box[3] > size[0] or not 0 < area <= width * height:
        raise ValueError(f"the box {box} does not hold a mask of {area} pixels in a photo of {size}")
    clip_confidence, sam_iou, score, agreement = scores = [float(entry[name]) for name in SCORES]
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"one of the scores {scores} is not finite")
    index = _whole(entry["category_id"], 1, len(words)) - 1
    points = np.array(entry["points"], np.float32).reshape(-1, 2)
    labels = np.array(entry["point_labels"], np.int32).reshape(len(points))
    return Instance(words[index], index, mask, box, area, clip_confidence, sam_iou, score, points, labels, agreement)


def _whole(value: object, least: int, most: int = 1 << 31) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r} is not an integer from {least} to {most}")
    return value
