"""COCO instances, masks as RLE, exact. Two layouts: FiftyOne's, and the one of Datumaro and CVAT."""

from __future__ import annotations

from pathlib import Path

from wordmask.convert.files import CocoFile
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.formats.coco import coco_categories, coco_image, coco_object
from wordmask.outputs.finished_run import RunPhoto


class CocoWriter:
    """Writes labels.json, and the photos in data/; ids of photos are the run's own."""

    labels, photos = "labels.json", "data"

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins the labels in the folder."""
        self._photos, self._photo_files = folder / self.photos, photo_files
        self._document = CocoFile(folder / self.labels, coco_categories(words))

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo."""
        name = self._file_name(photo, self._photo_files.place(photo, self._photos))
        self._document.add(coco_image(photo.number, name, photo.size), map(coco_object, photo.objects))

    def finish(self) -> None:
        """Ends the labels."""
        self._document.finish()

    def _file_name(self, photo: RunPhoto, name: str) -> str:
        return name


class DatumaroWriter(CocoWriter):
    """Writes annotations/instances_default.json, and the photos in images/default/.

    Datumaro refuses names that lead out of that folder, and asks for the folder even where it is empty.
    """

    labels, photos = "annotations/instances_default.json", "images/default"

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins the labels in the folder."""
        super().__init__(folder, words, photo_files)
        self._photos.mkdir(parents=True)

    def _file_name(self, photo: RunPhoto, name: str) -> str:
        placed = self._photo_files.placing != "none"
        return name if placed else plain_name(photo.name) + Path(photo.path).suffix
