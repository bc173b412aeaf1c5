"""ultralytics' segmentation labels: a text file a photo, a line an object: its class, then x and y of a polygon.

Readers multiply the coordinates by the photo's size, make whole numbers of them and fill with cv2.fillPoly, which
paints the line too. ultralytics drops what follows the point, supervision rounds. So the coordinates are all but the
middles of the mask's outermost pixels: rounded or cut, they are those pixels. In training ultralytics first puts points
between them, which it cuts too; the nearer they are to the middles, the less that shrinks a mask.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wordmask.convert.files import write
from wordmask.convert.object_map import mask_in_box
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.convert.pixel_centre_polygons import contours, joined, simplified
from wordmask.outputs.finished_run import RunPhoto
from wordmask.types import Instance

_READ = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")  # whatever version it is; it passes over others without an error
_PHOTOS, _LABELS = "images/train", "labels/train"
_WITHIN_PIXEL = 0.49  # what is left to 0.5 is more than single precision and seven digits lose of 65,536 pixels
_FEWEST_POINTS = 3  # a line of five numbers is a box to ultralytics


class YoloWriter:
    """Writes data.yaml, labels/train/, and images/train/ where the photos are wanted."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Writes data.yaml in the folder."""
        self._folder, self._photo_files = folder, photo_files
        names = "".join(f"  {i}: {yaml_text(word)}\n" for i, word in enumerate(words))
        write(folder / "data.yaml", f"train: {_PHOTOS}\nval: {_PHOTOS}\nnames:\n{names}".encode())
        (folder / _PHOTOS).mkdir(parents=True)

    def add(self, photo: RunPhoto) -> None:
        """Writes a photo's labels; a photo without objects has an empty file."""
        self._photo_files.place(photo, self._folder / _PHOTOS, kinds=_READ)
        lines = "".join(f"{found.class_index} {_polygon(found, photo.size)}\n" for found in photo.objects)
        write(self._folder / _LABELS / f"{plain_name(photo.name)}.txt", lines.encode())

    def finish(self) -> None:
        """All is written."""


def _polygon(found: Instance, size: tuple[int, int]) -> str:
    ring = simplified(joined(contours(mask_in_box(found), found.box[:2])))
    ring = np.concatenate((ring, ring[:1].repeat(max(0, _FEWEST_POINTS - len(ring)), axis=0)))
    shares = (ring + _WITHIN_PIXEL) / (size[1], size[0])
    return " ".join(f"{share:.7g}" for share in shares.ravel().tolist())


def yaml_text(text: str) -> str:
    """Any text as a double-quoted scalar of YAML 1.1."""
    escaped = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    return f'"{"".join(escaped)}"'
