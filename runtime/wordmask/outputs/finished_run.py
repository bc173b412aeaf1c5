"""Reads a finished run's output folder, photo by photo. What stands in it is checked: others may have edited it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.errors import ConversionError
from wordmask.outputs.layout import JOURNAL, SHARDS
from wordmask.rle import RLE

_FIRST_LINE = 1 << 27  # bytes of annotations.json's first line: any list of words is shorter


@dataclass(frozen=True)
class RunObject:
    """An object of a photo: see types.Instance for the attributes."""

    class_index: int
    mask: RLE
    box: tuple[int, int, int, int]
    area: int
    score: float
    clip_confidence: float
    sam_iou: float

    def inside(self) -> BoolMask:
        """The mask inside the box, bool (y1 - y0, x1 - x0).

        Raises:
            ConversionError: the box does not hold the whole mask.
        """
        inside = rle.decode_box(self.mask, self.box)
        if np.count_nonzero(inside) != self.area:
            raise ConversionError(f"the box {self.box} does not hold its mask of {self.area} pixels: run again")
        return inside


@dataclass(frozen=True)
class RunPhoto:
    """A photo of a run.

    Attributes:
        number: its id in the run's annotations.json, from 1.
        name: of its outputs, a relative path without suffix that stays below any folder.
        path: the photo as the run was given it.
        size: (height, width) as displayed.
        objects: in falling score.
    """

    number: int
    name: str
    path: str
    size: tuple[int, int]
    objects: tuple[RunObject, ...]


@dataclass(frozen=True)
class Place:
    """Where a photo's results are: see RunPhoto."""

    number: int
    name: str
    path: str


@dataclass(frozen=True)
class FinishedRun:
    """A run's output folder.

    Attributes:
        out: the folder.
        words: the class names.
        photos: that have results.
        failed: that have none.
    """

    out: Path
    words: tuple[str, ...]
    photos: int
    failed: int

    @classmethod
    def open(cls, out: Path) -> FinishedRun:
        """Looks at the folder.

        Raises:
            ConversionError: it holds no run, or one that is not finished.
        """
        try:
            summary = json.loads((out / "run.json").read_bytes())
            finished, statuses = summary["finished"], summary["totals"]["statuses"]
            done, total = statuses.get("ok", 0), sum(statuses.values())
        except FileNotFoundError as error:
            raise ConversionError(f"{out} holds no run.json: give the --output folder of a wordmask run") from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise ConversionError(f"{out / 'run.json'} cannot be read ({error}): run into the folder again") from error
        if finished is not True:
            raise ConversionError(f"the run in {out} is not finished: the same wordmask run command finishes it")
        return cls(out, _words(out / "annotations.json"), done, total - done)

    def places(self) -> Iterator[Place]:
        """The photos that have results, in the run's order.

        Raises:
            ConversionError: the journal cannot be read.
        """
        path = self.out / JOURNAL
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    row = json.loads(line)
                    if row["status"] == "ok":
                        yield Place(number, _below(row["name"]), str(row["photo"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            if isinstance(error, ConversionError):
                raise
            raise ConversionError(f"{path} cannot be read ({error!r}): run into the folder again") from error

    def read(self, place: Place) -> RunPhoto:
        """A photo's results.

        Raises:
            ConversionError: they are missing, or not what a run writes.
        """
        path = self.out / SHARDS / f"{place.name}.json"
        try:
            found = json.loads(path.read_bytes())
            size = _whole(found["height"], 1), _whole(found["width"], 1)
            objects = tuple(_object(entry, size, len(self.words)) for entry in found["annotations"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise ConversionError(f"{str(path)!r} cannot be read ({error!r}): run into the folder again") from error
        return RunPhoto(place.number, place.name, place.path, size, objects)


def _words(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            head = json.loads(file.readline(_FIRST_LINE).rstrip(b",\n") + b"}")  # see formats.coco.coco_document
        words = tuple(str(category["name"]) for category in head["categories"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConversionError(f"{path} does not begin with the words ({error!r}): run into the folder again") from error
    if not words:
        raise ConversionError(f"{path} names no words: run into the folder again")
    return words


def _below(name: str) -> str:
    path = PurePath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ConversionError(f"the journal names a photo {name!r}, which does not stay below the output folder")
    return str(path)


def _object(entry: Mapping[str, Any], size: tuple[int, int], words: int) -> RunObject:
    code = entry["segmentation"]
    mask = RLE((code["size"][0], code["size"][1]), str(code["counts"]))
    if mask.size != size:
        raise ValueError(f"a mask of {mask.size} pixels in a photo of {size}")
    x0, y0, width, height = (_whole(length, 0) for length in entry["bbox"])
    box = (x0, y0, x0 + width, y0 + height)
    area = rle.area(mask)
    if box[2] > size[1] or box[3] > size[0] or not 0 < area <= width * height:
        raise ValueError(f"the box {box} does not hold a mask of {area} pixels in a photo of {size}")
    scores = [float(entry[name]) for name in ("score", "clip_confidence", "sam_iou")]
    if not all(map(math.isfinite, scores)):
        raise ValueError(f"the scores {scores} are no numbers")
    return RunObject(_whole(entry["category_id"], 1, words) - 1, mask, box, area, *scores)


def _whole(value: object, least: int, most: int = 1 << 31) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r} is no whole number from {least} to {most}")
    return value
