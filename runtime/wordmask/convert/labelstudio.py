"""Label Studio: tasks.json with a prediction a photo, whose regions are brush masks, and the labelling interface.

A brush mask is an array of R, G, B and alpha of every pixel, run-length coded as thi.ng/rle-pack does it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask
from wordmask.convert.files import append, write
from wordmask.convert.labels import distinct_labels
from wordmask.convert.object_map import mask_in_box
from wordmask.convert.photo_files import PhotoFiles
from wordmask.errors import ConversionError
from wordmask.formats.json import json_bytes
from wordmask.formats.palette import class_colour
from wordmask.outputs.finished_run import RunPhoto
from wordmask.types import Instance

_PHOTOS = "photos"
_READ = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF")  # by browsers
_CHANNELS = 4
_VALUE_BITS = 8
_MOST_PIXELS = ((1 << 32) - 1) // _CHANNELS
_LENGTH_BITS = (4, 8, 12, 16)  # of a run; two bits before it say which
_LONGEST = 1 << _LENGTH_BITS[-1]


class LabelStudioWriter:
    """Writes tasks.json and label_config.xml."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Writes label_config.xml and begins tasks.json."""
        self._folder, self._labels, self._photo_files = folder, distinct_labels(words), photo_files
        self._tasks, self._separator = folder / "tasks.json", b"[\n"
        write(folder / "label_config.xml", _interface(self._labels).encode())
        write(self._tasks, b"")

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo's task.

        Raises:
            ConversionError: the photo has more pixels than a brush can have.
        """
        if photo.size[0] * photo.size[1] > _MOST_PIXELS:
            found = f"{photo.path!r} is {photo.size[1]}x{photo.size[0]} pixels"
            raise ConversionError(f"{found}, more than Label Studio's {_MOST_PIXELS}: use coco")
        name = self._photo_files.place(photo, self._folder / _PHOTOS, kinds=_READ)
        placed = self._photo_files.placing != "none"
        prediction: dict[str, Any] = {
            "model_version": "wordmask",
            "result": [self._region(number, found, photo) for number, found in enumerate(photo.objects, start=1)],
        }
        if photo.objects:
            prediction["score"] = sum(found.score for found in photo.objects) / len(photo.objects)
        url = f"/data/local-files/?d={quote(f'{_PHOTOS}/{name}')}" if placed else name
        task = {"data": {"image": url}, "predictions": [prediction]}
        append(self._tasks, self._separator + json_bytes(task).rstrip())
        self._separator = b",\n"

    def finish(self) -> None:
        """Ends tasks.json."""
        append(self._tasks, b"\n]\n" if self._separator == b",\n" else b"[]\n")

    def _region(self, number: int, found: Instance, photo: RunPhoto) -> dict[str, Any]:
        mask = np.zeros(photo.size, dtype=bool)
        x0, y0, x1, y1 = found.box
        mask[y0:y1, x0:x1] = mask_in_box(found)
        return {
            "id": f"{photo.number}-{number}",
            "type": "brushlabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": photo.size[1],
            "original_height": photo.size[0],
            "image_rotation": 0,
            "score": found.score,
            "value": {"format": "rle", "rle": list(brush_rle(mask)), "brushlabels": [self._labels[found.class_index]]},
        }


def _interface(labels: Iterable[str]) -> str:
    lines = "".join(
        f'    <Label value={quoteattr(label)} background="#{red:02x}{green:02x}{blue:02x}"/>\n'
        for label, (red, green, blue) in ((label, class_colour(i)) for i, label in enumerate(labels))
    )
    image = '  <Image name="image" value="$image" zoom="true"/>\n'
    return f'<View>\n{image}  <BrushLabels name="label" toName="image">\n{lines}  </BrushLabels>\n</View>\n'


def brush_rle(mask: BoolMask) -> bytes:
    """A mask (H, W) as Label Studio keeps brushes: 255 in all four channels where the mask is."""
    count = mask.size * _CHANNELS
    head = f"{count:032b}{_VALUE_BITS - 1:05b}" + "".join(f"{bits - 1:04b}" for bits in _LENGTH_BITS)
    runs = (_run(length, value) for length, value in _runs(mask.ravel()))
    bits = head + "".join(runs)
    return int(bits.ljust(-len(bits) % 8 + len(bits), "0"), 2).to_bytes(-(-len(bits) // 8))


def _runs(flat: NDArray[np.bool_]) -> Iterator[tuple[int, bool]]:
    """Lengths, in channels of pixels, and values of the runs; none is longer than its code can say."""
    bounds = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [flat.size]))
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        left = (end - start) * _CHANNELS
        while left:
            length = min(left, _LONGEST)
            yield length, bool(flat[start])
            left -= length


def _run(length: int, value: bool) -> str:
    """A run's code: 1 for a run, which length follows, the length less one, the value."""
    which = next(i for i, bits in enumerate(_LENGTH_BITS) if length <= 1 << bits)
    return f"1{which:02b}{length - 1:0{_LENGTH_BITS[which]}b}{255 * value:08b}"
