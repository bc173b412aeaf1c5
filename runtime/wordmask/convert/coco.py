"""COCO instances, laid out as FiftyOne reads them: labels.json, and the photos in data/. Masks as RLE, exact."""

from __future__ import annotations

from pathlib import Path

from wordmask.convert.files import CocoDocument
from wordmask.convert.photo_files import PhotoFiles
from wordmask.formats.coco import coco_image
from wordmask.outputs.finished_run import RunPhoto


class CocoWriter:
    """Writes labels.json; ids of photos are the run's own."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Begins labels.json in the folder."""
        self._data, self._photo_files, self._count = folder / "data", photo_files, 0
        categories = [{"id": i, "name": word, "supercategory": ""} for i, word in enumerate(words, start=1)]
        head = {"info": {"description": "made by wordmask"}, "licenses": [], "categories": categories}
        self._document = CocoDocument(folder / "labels.json", head)

    def add(self, photo: RunPhoto) -> None:
        """Adds a photo."""
        name = self._photo_files.place(photo, self._data)
        annotations = [
            {
                "id": number,
                "image_id": photo.number,
                "category_id": found.class_index + 1,
                "segmentation": {"size": list(found.mask.size), "counts": found.mask.counts},
                "bbox": [found.box[0], found.box[1], found.box[2] - found.box[0], found.box[3] - found.box[1]],
                "area": found.area,
                "iscrowd": 0,
                "score": found.score,
                "clip_confidence": found.clip_confidence,
                "sam_iou": found.sam_iou,
            }
            for number, found in enumerate(photo.objects, start=self._count + 1)
        ]
        self._document.add(coco_image(photo.number, name, photo.size), annotations)
        self._count += len(annotations)

    def finish(self) -> None:
        """Ends labels.json."""
        self._document.finish()
