"""Each dataset's published folders with two small photos, and a segmenter that knows what is on them.

A photo's red channel is the class of the pixel, so that a stand-in can segment it without models.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from PIL import Image

from wordmask.errors import BundleError
from wordmask.formats.palette import voc_palette
from wordmask.resize import bilinear
from wordmask.text.queries import Queries
from wordmask_bench.datasets.dataset import CITYSCAPES_IDS
from wordmask_bench.datasets.protocol import PROTOCOLS, class_names

IGNORED = -1
NAMES = ("one", "two")  # of the photos
SIZES = ((40, 60), (60, 40))

# photo, labels, what the label PNGs hold for class 0 and for ignored pixels
PLACES = {
    "voc21": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", 0, 255),
    "voc20": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", 1, 0),
    "context59": ("JPEGImages/{}.jpg", "SegmentationClassContext/{}.png", 1, 0),
    "context60": ("JPEGImages/{}.jpg", "SegmentationClassContext/{}.png", 0, 255),
    "coco-object": ("images/val2017/{}.jpg", "annotations/val2017/{}_instanceTrainIds.png", 0, 255),
    "coco-stuff": ("images/val2017/{}.jpg", "annotations/val2017/{}_labelTrainIds.png", 0, 255),
    "cityscapes": (
        "leftImg8bit/val/bonn/{}_leftImg8bit.png",
        "gtFine/val/bonn/{}_gtFine_labelTrainIds.png",
        0,
        255,
    ),
    "ade20k": ("images/validation/{}.jpg", "annotations/validation/{}.png", 1, 0),
    "folder": ("images/{}.jpg", "labels/{}.png", 1, 0),
}
SPLITS = {"voc": "ImageSets/Segmentation/val.txt", "con": "ImageSets/SegmentationContext/val.txt"}


def labels_of(number: int, classes: int) -> np.ndarray:
    """A photo's classes: quarters of it, the first ones and the last, and a corner that is ignored."""
    height, width = SIZES[number]
    labels = np.zeros(SIZES[number], np.int32)
    labels[: height // 2, width // 2 :] = 1
    labels[height // 2 :, : width // 2] = classes - 1
    labels[height // 2 :, width // 2 :] = 2 + number
    labels[:8, :8] = IGNORED
    return labels


def write(root: Path, dataset: str, classes: int) -> Path:
    """Writes both photos and their labels; the folder."""
    photo_place, label_place, first, ignored = PLACES[dataset]
    for number, name in enumerate(NAMES):
        labels = labels_of(number, classes)
        photo = np.zeros((*labels.shape, 3), np.uint8)
        photo[..., 0] = np.maximum(labels, 0)
        _save(root / photo_place.format(name), Image.fromarray(photo))
        save_labels(root / label_place.format(name), np.where(labels == IGNORED, ignored, labels + first))
    if dataset[:3] in SPLITS:
        split = root / SPLITS[dataset[:3]]
        split.parent.mkdir(parents=True)
        split.write_text("two\none\n")
    if dataset == "folder":
        (root / "words.txt").write_text("".join(f"word {index}, synonym {index}\n" for index in range(classes)))
    return root


def save_labels(path: Path, numbers: np.ndarray) -> None:
    """A palette PNG whose colours, read as grey, would be other numbers."""
    picture = Image.fromarray(numbers.astype(np.uint8), "P")
    picture.putpalette(voc_palette().tobytes())
    _save(path, picture)


def with_label_ids(root: Path) -> None:
    """Cityscapes as published: not train ids but ids, among them some of no class."""
    for path in list(root.rglob("*_labelTrainIds.png")):
        train = np.array(Image.open(path))
        table = np.zeros(256, np.uint8)
        table[: len(CITYSCAPES_IDS)] = CITYSCAPES_IDS
        table[255] = 4
        save_labels(path.with_name(path.name.replace("labelTrainIds", "labelIds")), table[train])
        path.unlink()


def _save(path: Path, picture: Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "PNG")  # whatever the name's ending: photos must come back to the number


class Knowing:
    """Stands in for Segmenter: similarities from the red channel, with LoftUp at every pixel, without on a grid of 4.

    SAM2's part finds the even classes alone.
    """

    def __init__(self, *, has_loftup: bool = True, mistakes: tuple[int, ...] = ()) -> None:
        clip = SimpleNamespace(logit_scale=30.0, short_side=300, window=224, stride=112)
        self.manifest = SimpleNamespace(clip=clip, bundle_id="knowing")
        self.has_loftup, self.mistakes, self.sides, self.embedded = has_loftup, mistakes, [], 0

    def uses_loftup(self, options):
        if options.use_loftup and not self.has_loftup:
            raise BundleError("built without LoftUp")
        return self.has_loftup if options.use_loftup is None else options.use_loftup

    def upsample(self, options):
        return options.upsample or "selective"

    def embed(self, vocabulary):
        self.embedded += 1
        classes = [*vocabulary.classes, vocabulary.background] if vocabulary.background else vocabulary.classes
        starts = np.cumsum([0, *(len(synonyms) for synonyms in classes)])
        return Queries(vocabulary, np.zeros((starts[-1], 1), np.float32), tuple(starts[:-1].tolist()))

    def similarities(self, photo, queries, options, timer=None, *, short_side=None):
        self.sides.append(short_side)
        index = photo[..., 0].astype(int)
        index[np.isin(index, self.mistakes)] = 1
        if queries.vocabulary.background:
            index = (index - 1) % len(queries.class_starts)
        logits = np.zeros((len(queries.embeddings), *index.shape), np.float32)
        last = np.append(queries.class_starts[1:], len(logits)) - 1  # of each class the last synonym is meant
        np.put_along_axis(logits, last[index][None], 1.0, axis=0)
        return logits if options.use_loftup else bilinear(logits[:, 2::4, 2::4].copy(), index.shape)

    def segment(self, photo, queries, options, timer=None, *, dense):
        count = len(queries.vocabulary.classes)
        found = (dense.index < count) & (dense.index % 2 == 0)
        return SimpleNamespace(semantic=np.where(found, dense.index + 1, 0).astype(np.uint16))


def classes_in(dataset: str) -> int:
    return len(class_names(dataset)) if dataset in PROTOCOLS else 5
