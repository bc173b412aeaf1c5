"""COCO panoptic: panoptic.json, and a PNG a photo in panoptic/ whose colours are the segments' ids.

The rules are panopticapi's: id = R + 256 G + 256^2 B, 0 for nothing; no overlaps; every id of the JSON is in the PNG.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wordmask.convert.files import CocoFile, write
from wordmask.convert.object_map import object_map
from wordmask.convert.photo_files import PhotoFiles
from wordmask.formats.coco import coco_categories, coco_image
from wordmask.formats.palette import class_colour
from wordmask.formats.pictures import png
from wordmask.outputs.finished_run import RunPhoto


class PanopticWriter:
    """Writes panoptic.json and the PNGs, which are named by the photo's id as COCO's own are."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins panoptic.json in the folder."""
        self._folder, self._photo_files = folder, photo_files
        categories = [
            {**category, "isthing": 1, "color": list(class_colour(i))}
            for i, category in enumerate(coco_categories(words))
        ]
        self._document = CocoFile(folder / "panoptic.json", categories, numbered=False)

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo. Objects that others hide altogether are left out."""
        name = self._photo_files.place(photo, self._folder / "data")
        objects = object_map(photo)
        segments = [
            {
                "id": i,
                "category_id": found.class_index + 1,
                "area": int(visible.sum()),
                "bbox": _box(visible, found.box[0], found.box[1]),
                "iscrowd": 0,
                "score": found.score,
            }
            for i, found in enumerate(photo.objects, start=1)
            if (visible := objects[found.box[1] : found.box[3], found.box[0] : found.box[2]] == i).any()
        ]
        colours = np.stack([objects >> shift & 255 for shift in (0, 8, 16)], axis=-1).astype(np.uint8)  # (H, W, 3)
        name_of_png = f"{photo.number:012d}.png"
        write(self._folder / "panoptic" / name_of_png, png(colours))
        annotation = {"file_name": name_of_png, "segments_info": segments}
        self._document.add(coco_image(photo.number, name, photo.size), [annotation])

    def finish(self) -> None:
        """Ends panoptic.json."""
        self._document.finish()


def _box(visible: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], left: int, top: int) -> list[int]:
    """COCO's x, y, width, height of what can be seen."""
    rows, columns = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    x, y = left + int(columns[0]), top + int(rows[0])
    return [x, y, left + int(columns[-1]) + 1 - x, top + int(rows[-1]) + 1 - y]
