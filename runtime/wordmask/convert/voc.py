"""Class and object maps as PASCAL VOC keeps them, and as CVAT imports them ("Segmentation mask 1.1").

VOC's are palette PNGs whose indices count; CVAT's are RGB PNGs whose colours count, by labelmap.txt. 255 is VOC's void.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.convert.files import Writer, append, write
from wordmask.convert.object_map import class_map, object_map
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.errors import ConversionError
from wordmask.formats.palette import voc_palette
from wordmask.formats.pictures import label_png, png
from wordmask.outputs.finished_run import RunPhoto

_MOST = 254  # classes, and objects of a photo: 255 is void


class VocWriter(Writer):
    """Writes SegmentationClass/, SegmentationObject/, ImageSets/Segmentation/ and labelmap.txt."""

    list_name = "trainval.txt"

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins the folder.

        Raises:
            ConversionError: there are too many words.
        """
        if len(words) > _MOST:
            raise ConversionError(f"the run has {len(words)} words, more than VOC's {_MOST} colours: use coco-panoptic")
        self._folder, self._photo_files = folder, photo_files
        self._list = folder / "ImageSets" / "Segmentation" / self.list_name
        write(self._list, b"")
        names = label_names(words)
        colours = voc_palette().tolist()
        lines = (f"{name}:{red},{green},{blue}::\n" for name, (red, green, blue) in zip(names, colours, strict=False))
        write(folder / "labelmap.txt", ("# label:color_rgb:parts:actions\n" + "".join(lines)).encode())

    def add(self, photo: RunPhoto) -> None:
        """Writes a photo's maps.

        Raises:
            ConversionError: too many objects can be seen.
        """
        painted = object_map(photo)
        visible = np.union1d([0], painted)
        if len(visible) - 1 > _MOST:
            found = f"{photo.path!r} has {len(visible) - 1} objects"
            raise ConversionError(f"{found}, more than VOC's {_MOST} colours: use coco-panoptic")
        self._photo_files.place(photo, self._folder / "JPEGImages")
        name = plain_name(photo.name)
        maps: dict[str, NDArray[Any]] = {
            "SegmentationClass": class_map(photo, painted),
            "SegmentationObject": np.searchsorted(visible, painted),
        }
        for kind, labels in maps.items():
            write(self._folder / kind / f"{name}.png", self._picture(labels.astype(np.uint16)))
        append(self._list, f"{name}\n".encode())

    def _picture(self, labels: NDArray[np.uint16]) -> bytes:
        return label_png(labels, _MOST)


class CvatWriter(VocWriter):
    """The same with RGB PNGs, and the list's name that CVAT gives a task."""

    list_name = "default.txt"

    def _picture(self, labels: NDArray[np.uint16]) -> bytes:
        return png(voc_palette()[labels])


def label_names(words: Sequence[str]) -> list[str]:
    """`background` and the words, as labelmap.txt can hold them: without colons and line breaks, each its own."""
    names = ["background"]
    for word in words:
        plain = "".join("_" if c in ":#" or not c.isprintable() else c for c in " ".join(word.split()))
        numbered = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(words) + 2))
        names.append(next(name for name in numbered if name not in names))
    return names
