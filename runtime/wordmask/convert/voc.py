"""Class and object maps as PASCAL VOC keeps them, with its boxes, and as CVAT imports them ("Segmentation mask 1.1").

VOC's are palette PNGs whose indices count; CVAT's are RGB PNGs whose colours count, by labelmap.txt. 255 is VOC's void.
VOC's readers look for photos that end with .jpg and for no others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.convert.files import Writer, append, write
from wordmask.convert.labels import distinct_labels
from wordmask.convert.object_map import class_map, object_map
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.convert.voc_boxes import box_xml
from wordmask.errors import ConversionError
from wordmask.formats.palette import voc_palette
from wordmask.formats.pictures import label_png, png
from wordmask.outputs.finished_run import RunPhoto

_SUFFIX = ".jpg"
_MOST = 254  # classes, and objects of a photo: 255 is void


class VocWriter(Writer):
    """Writes SegmentationClass/, SegmentationObject/, labelmap.txt, Annotations/ (boxes), lists in ImageSets/."""

    list_name = "trainval.txt"
    boxes = True

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins the folder.

        Raises:
            ConversionError: there are too many words.
        """
        if len(words) > _MOST:
            raise ConversionError(f"the run has {len(words)} words, more than VOC's {_MOST} colours: use coco-panoptic")
        self._folder, self._photo_files, self._names = folder, photo_files, label_names(words)
        kinds = ("Segmentation", "Main") if self.boxes else ("Segmentation",)
        self._lists = [folder / "ImageSets" / kind / self.list_name for kind in kinds]
        for path in self._lists:
            write(path, b"")
        colours = voc_palette().tolist()
        lines = (
            f"{name}:{red},{green},{blue}::\n" for name, (red, green, blue) in zip(self._names, colours, strict=False)
        )
        write(folder / "labelmap.txt", ("# label:color_rgb:parts:actions\n" + "".join(lines)).encode())

    def add(self, photo: RunPhoto) -> None:
        """Writes a photo's maps and boxes.

        Raises:
            ConversionError: too many objects can be seen.
        """
        painted = object_map(photo)
        visible = np.union1d([0], painted)
        if len(visible) - 1 > _MOST:
            found = f"{photo.path!r} has {len(visible) - 1} objects"
            raise ConversionError(f"{found}, more than VOC's {_MOST} colours: use coco-panoptic")
        self._photo_files.place(photo, self._folder / "JPEGImages", kinds=("JPEG",), suffix=_SUFFIX)
        name = plain_name(photo.name)
        maps: dict[str, NDArray[Any]] = {
            "SegmentationClass": class_map(photo, painted),
            "SegmentationObject": np.searchsorted(visible, painted),
        }
        for kind, labels in maps.items():
            write(self._folder / kind / f"{name}.png", self._picture(labels.astype(np.uint16)))
        if self.boxes:
            write(self._folder / "Annotations" / f"{name}.xml", box_xml(photo, name + _SUFFIX, self._names[1:]))
        for path in self._lists:
            append(path, f"{name}\n".encode())

    def _picture(self, labels: NDArray[np.uint16]) -> bytes:
        return label_png(labels, _MOST)


class CvatWriter(VocWriter):
    """The same with RGB PNGs, without boxes, and with the list's name that CVAT gives a task."""

    list_name = "default.txt"
    boxes = False

    def _picture(self, labels: NDArray[np.uint16]) -> bytes:
        return png(voc_palette()[labels])


def label_names(words: Sequence[str]) -> list[str]:
    """`background` and the words, as labelmap.txt can hold them: without colons and line breaks, each its own."""
    background = "background"
    return [background, *distinct_labels(words, without=":#", taken=[background])]
