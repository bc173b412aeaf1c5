"""COCO panoptic: panoptic.json, and a PNG a photo in panoptic/ whose colours are the segments' ids.

The rules are panopticapi's: id = R + 256 G + 256^2 B, 0 for nothing; no overlaps; every id of the JSON is in the PNG;
one segment a photo of a class that is stuff.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask
from wordmask.convert.files import CocoFile, write
from wordmask.convert.object_map import object_map
from wordmask.convert.photo_files import PhotoFiles
from wordmask.errors import ConversionError
from wordmask.formats.coco import coco_categories, coco_image
from wordmask.formats.palette import class_colour
from wordmask.formats.pictures import png
from wordmask.outputs.finished_run import RunPhoto


class PanopticWriter:
    """Writes panoptic.json and the PNGs, which are named by the photo's id as COCO's own are."""

    def __init__(
        self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles, *, stuff: Collection[str] = ()
    ) -> None:
        """Begins panoptic.json in the folder.

        Args:
            folder: where to.
            words: of the run.
            photo_files: how photos are brought.
            stuff: those of the words that are stuff, as sky and grass are; the others are things.

        Raises:
            ConversionError: a word of stuff is none of the run's.
        """
        unknown = [word for word in stuff if word not in words]
        if unknown:
            raise ConversionError(f"--stuff {unknown[0]!r} is none of the run's words: {', '.join(map(repr, words))}")
        self._stuff = {i for i, word in enumerate(words) if word in stuff}
        self._folder, self._photo_files = folder, photo_files
        categories = [
            {**category, "isthing": int(i not in self._stuff), "color": list(class_colour(i))}
            for i, category in enumerate(coco_categories(words))
        ]
        self._document = CocoFile(folder / "panoptic.json", categories, numbered=False)

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo. Objects that others hide altogether are left out."""
        name = self._photo_files.place(photo, self._folder / "data")
        segment_of = self._segment_of(photo)
        painted = segment_of[object_map(photo)]
        whole = 0, 0, photo.size[1], photo.size[0]
        segments = [
            {
                "id": i,
                "category_id": found.class_index + 1,
                "area": int(visible.sum()),
                "bbox": _box(visible, x0, y0),
                "iscrowd": 0,
                "score": found.score,
            }
            for i, found in enumerate(photo.objects, start=1)
            if segment_of[i] == i
            for x0, y0, x1, y1 in [whole if found.class_index in self._stuff else found.box]
            if (visible := painted[y0:y1, x0:x1] == i).any()
        ]
        colours = np.stack([painted >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)  # (H, W, 3)
        name_of_png = f"{photo.number:012d}.png"
        write(self._folder / "panoptic" / name_of_png, png(colours))
        annotation = {"file_name": name_of_png, "segments_info": segments}
        self._document.add(coco_image(photo.number, name, photo.size), [annotation])

    def finish(self) -> None:
        """Ends panoptic.json."""
        self._document.finish()

    def _segment_of(self, photo: RunPhoto) -> NDArray[np.int32]:
        """The segment of each object, i32 (objects + 1,): its own, or of stuff that of the class's best object."""
        segments = np.arange(len(photo.objects) + 1, dtype=np.int32)
        first: dict[int, int] = {}
        for i, found in enumerate(photo.objects, start=1):
            if found.class_index in self._stuff:
                segments[i] = first.setdefault(found.class_index, i)
        return segments


def _box(visible: BoolMask, left: int, top: int) -> list[int]:
    """COCO's x, y, width, height of what can be seen."""
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    x, y = left + int(columns[0]), top + int(rows[0])
    return [x, y, left + int(columns[-1]) + 1 - x, top + int(rows[-1]) + 1 - y]
