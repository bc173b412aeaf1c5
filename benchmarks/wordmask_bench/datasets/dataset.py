"""Labelled datasets on disk in the folders they are published in: photos, label PNGs, classes, protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from wordmask.photo.suffixes import is_hidden, is_photo_name
from wordmask.text.word_files import read_word_file
from wordmask_bench.datasets import DatasetError
from wordmask_bench.datasets.labels import Coding
from wordmask_bench.datasets.layouts import missing
from wordmask_bench.datasets.protocol import PROTOCOLS, Protocol, Synonyms, class_names, parse_classes

DATASETS = (*PROTOCOLS, "folder")

# Numbers of Cityscapes' 19 classes in *_labelIds.png, in the order of their train ids (cityscapesScripts, labels.py).
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


@dataclass(frozen=True)
class Pair:
    """A photo and the PNG of its labels."""

    photo: Path
    labels: Path


Pairs = tuple[Pair, ...]
Reader = Callable[[str, Path], tuple[Pairs, Coding]]  # from a dataset's name and folder


@dataclass(frozen=True)
class Dataset:
    """A labelled dataset on disk.

    Attributes:
        name: one of DATASETS.
        pairs: photos with their labels, in the published order, or sorted by name.
        classes: each with its synonyms, in the order of the labels.
        coding: of the label PNGs.
        protocol: how similarities become a class map.
    """

    name: str
    pairs: Pairs
    classes: tuple[Synonyms, ...]
    coding: Coding
    protocol: Protocol

    @property
    def names(self) -> tuple[str, ...]:
        """The first synonym of each class; class 0 is "background" if the protocol has one."""
        return tuple(
            "background" if index == 0 and self.protocol.background else synonyms[0]
            for index, synonyms in enumerate(self.classes)
        )


def open_dataset(
    name: str, root: Path, *, limit: int | None = None, classes: Path | None = None, first_label: int | None = None
) -> Dataset:
    """Finds a dataset's files.

    Args:
        name: one of DATASETS.
        root: the dataset's folder, or a folder in which it was unpacked (see datasets.layouts).
        limit: number of photos, from the first.
        classes: only for `folder`: the class list, one class per line, commas between synonyms; default ROOT/words.txt.
        first_label: only for `folder`: the number of the first class in the label PNGs; with the default 1, the number
            0 is ignored.

    Raises:
        DatasetError: a file is not where it is expected; the message shows the layout.
        ValueError: name, limit or first_label has a wrong value.
        VocabularyError: the class list cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"the dataset is {name!r}, expected one of {', '.join(DATASETS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")
    if name == "folder":
        found = _folder(root, classes, 1 if first_label is None else first_label)
    elif classes is not None or first_label is not None:
        raise ValueError(
            f"{name} has its own classes and labels: --classes and --first-label are for the dataset folder"
        )
    else:
        pairs, coding = READERS[name](name, root)
        found = Dataset(name, pairs, class_names(name), coding, PROTOCOLS[name])
    found = replace(found, pairs=found.pairs[:limit])
    _check(found, root)
    return found


def _voc(year: str, split: str, labels: str) -> Reader:
    def read(name: str, root: Path) -> tuple[Pairs, Coding]:
        base = _base(name, root, split, year, f"VOCdevkit/{year}")
        stems = (base / split).read_text(encoding="utf-8").split()
        pairs = tuple(Pair(base / "JPEGImages" / f"{stem}.jpg", base / labels / f"{stem}.png") for stem in stems)
        return pairs, Coding(first=0 if PROTOCOLS[name].background else 1)

    return read


def _one_folder(usual: str, photos: str, labels: str, coding: Coding) -> Reader:
    """Reader of photos in one folder; `labels` has {} in place of a photo's name without suffix."""

    def read(name: str, root: Path) -> tuple[Pairs, Coding]:
        base = _base(name, root, photos, usual)
        found = sorted((base / photos).glob("*.jpg"))
        return tuple(Pair(photo, base / labels.format(photo.stem)) for photo in found), coding

    return read


def _cityscapes(name: str, root: Path) -> tuple[Pairs, Coding]:
    base = _base(name, root, "leftImg8bit/val", "cityscapes")
    ending = "_leftImg8bit.png"
    photos = sorted((base / "leftImg8bit" / "val").glob(f"*/*{ending}"))

    def pairs(kind: str) -> Pairs:
        labels = base / "gtFine" / "val"
        return tuple(
            Pair(photo, labels / photo.parent.name / photo.name.replace(ending, f"_gtFine_{kind}.png"))
            for photo in photos
        )

    ids = pairs("labelIds")
    if ids and ids[0].labels.is_file() and not pairs("labelTrainIds")[0].labels.is_file():
        return ids, Coding(numbers=CITYSCAPES_IDS)
    return pairs("labelTrainIds"), Coding()


def _folder(root: Path, classes: Path | None, first_label: int) -> Dataset:
    if first_label not in (0, 1):
        raise ValueError(f"first_label is {first_label}, expected 0 or 1")
    base = _base("folder", root, "images")
    words = classes or _base("folder", root, "words.txt") / "words.txt"
    files = (base / "images").iterdir()
    photos = sorted(path for path in files if is_photo_name(path.name) and not is_hidden(path.name))
    return Dataset(
        name="folder",
        pairs=tuple(Pair(photo, base / "labels" / f"{photo.stem}.png") for photo in photos),
        classes=_numbered_classes(words),
        coding=Coding(first_label),
        protocol=Protocol(logit_scale=None, short_side=None),
    )


def _numbered_classes(words: Path) -> tuple[Synonyms, ...]:
    """The classes of a file whose lines number the labels; comments do not count."""
    read = read_word_file(words)
    if read.empty:
        found = f"line {read.empty} of {words} is empty, and lines number the labels"
        raise DatasetError(f"{found}: remove it, or give it a word")
    return parse_classes([line.text for line in read.lines])


_VOC = _voc("VOC2012", "ImageSets/Segmentation/val.txt", "SegmentationClass")
_CONTEXT = _voc("VOC2010", "ImageSets/SegmentationContext/val.txt", "SegmentationClassContext")
READERS: dict[str, Reader] = {
    "voc21": _VOC,
    "voc20": _VOC,
    "context59": _CONTEXT,
    "context60": _CONTEXT,
    "coco-object": _one_folder(
        "coco_stuff164k", "images/val2017", "annotations/val2017/{}_instanceTrainIds.png", Coding()
    ),
    "coco-stuff": _one_folder("coco_stuff164k", "images/val2017", "annotations/val2017/{}_labelTrainIds.png", Coding()),
    "cityscapes": _cityscapes,
    "ade20k": _one_folder("ADEChallengeData2016", "images/validation", "annotations/validation/{}.png", Coding(1)),
}


def _base(name: str, root: Path, wanted: str, *usual: str) -> Path:
    """The folder that holds `wanted`: the root, or one of the `usual` folders in it."""
    for below in ("", *usual):
        if (root / below / wanted).exists():
            return root / below
    raise missing(name, root, f"there is no {wanted}")


def _check(dataset: Dataset, root: Path) -> None:
    if not dataset.pairs:
        raise missing(dataset.name, root, "it holds no photos")
    gone = [path for pair in dataset.pairs for path in (pair.photo, pair.labels) if not path.is_file()]
    if gone:
        raise missing(dataset.name, root, f"{len(gone)} of its files are missing, first {gone[0]}")
