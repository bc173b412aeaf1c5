"""COCO instances, laid out as FiftyOne reads them: labels.json, and the photos in data/. Masks as RLE, exact."""

from __future__ import annotations

from pathlib import Path

from wordmask.convert.files import CocoFile
from wordmask.convert.photo_files import PhotoFiles
from wordmask.formats.coco import coco_categories, coco_image, coco_object
from wordmask.outputs.finished_run import RunPhoto


class CocoWriter:
    """Writes labels.json; ids of photos are the run's own."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins labels.json in the folder."""
        self._data, self._photo_files = folder / "data", photo_files
        self._labels = CocoFile(folder / "labels.json", coco_categories(words))

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo."""
        name = self._photo_files.place(photo, self._data)
        self._labels.add(coco_image(photo.number, name, photo.size), map(coco_object, photo.objects))

    def finish(self) -> None:
        """Ends labels.json."""
        self._labels.finish()
