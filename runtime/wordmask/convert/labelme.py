"""LabelMe: a JSON file a photo. A polygon a part, or a mask where an object has holes, which polygons cannot have.

LabelMe fills polygons with Pillow's ImageDraw, which paints the line too: its corners are the mask's outermost pixels.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

from wordmask.convert.files import Writer, write
from wordmask.convert.object_map import mask_in_box
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.convert.pixel_centre_polygons import contours, simplified
from wordmask.formats import pictures
from wordmask.formats.json import json_bytes
from wordmask.outputs.finished_run import RunPhoto
from wordmask.types import Instance

_VERSION = "5.5.0"  # of the format; it has masks
_READ = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")  # by Qt, which lists a folder's pictures
_FEWEST_POINTS = 3  # of a LabelMe polygon


class LabelMeWriter(Writer):
    """Writes the files; shapes of one object share a group_id."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Notes where to write."""
        self._folder, self._words, self._photo_files = folder, words, photo_files

    def add(self, photo: RunPhoto) -> None:
        """Writes a photo's file; it finds the photo by a path relative to itself."""
        path = self._folder / f"{plain_name(photo.name)}.json"
        name = self._photo_files.place(photo, self._folder, kinds=_READ)
        image = Path(name) if self._photo_files.placing == "none" else self._folder / name
        document: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [
                {**shape, "label": self._words[found.class_index], "group_id": number, "flags": {}}
                for number, found in enumerate(photo.objects, start=1)
                for shape in _shapes(found)
            ],
            "imagePath": os.path.relpath(image.absolute(), path.parent.absolute()),
            "imageData": None,
            "imageHeight": photo.size[0],
            "imageWidth": photo.size[1],
        }
        write(path, json_bytes(document, indent=1))


def _shapes(found: Instance) -> list[dict[str, Any]]:
    mask = mask_in_box(found)
    parts = contours(mask, found.box[:2])
    rings = [simplified(part.exterior) for part in parts]
    description = f"score {found.score:g}"
    if any(part.holes for part in parts) or min(map(len, rings)) < _FEWEST_POINTS:
        x0, y0, x1, y1 = found.box
        png = base64.b64encode(pictures.png(mask)).decode()
        corners = [[x0, y0], [x1 - 1, y1 - 1]]  # both inside
        return [{"shape_type": "mask", "points": corners, "mask": png, "description": description}]
    return [
        {"shape_type": "polygon", "points": ring.tolist(), "mask": None, "description": description} for ring in rings
    ]
