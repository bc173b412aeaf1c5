"""Labelled datasets on disk in the folders they are published in: photos, label PNGs, classes, protocol."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from wordmask.image import IMAGE_SUFFIXES
from wordmask.words import read_class_lines
from wordmask_bench.datasets_errors import DatasetError
from wordmask_bench.datasets_labels import Coding
from wordmask_bench.datasets_protocol import PROTOCOLS, Protocol, Synonyms, class_names, parse_classes

__all__ = ["DATASETS", "Dataset", "DatasetError", "Pair", "open_dataset"]

DATASETS = (*PROTOCOLS, "folder")

# Numbers of Cityscapes' 19 classes in *_labelIds.png, in the order of their train ids (cityscapesScripts, labels.py).
CITYSCAPES_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)


@dataclass(frozen=True)
class Pair:
    """A photo and the PNG of its labels."""

    photo: Path
    labels: Path


@dataclass(frozen=True)
class Dataset:
    """What is to be measured.

    Attributes:
        name: one of DATASETS.
        pairs: the photos with their labels, in the published order (else by name).
        classes: each with its synonyms, in the order of the labels.
        coding: of the label PNGs.
        protocol: from similarities to a class map.
    """

    name: str
    pairs: tuple[Pair, ...]
    classes: tuple[Synonyms, ...]
    coding: Coding
    protocol: Protocol

    @property
    def names(self) -> tuple[str, ...]:
        """Each class's first synonym; the background is called so."""
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
        root: the dataset's folder, or one that has it where it is usually unpacked (see LAYOUTS).
        limit: take only the first photos.
        classes: of `folder`: the class list, one a line, commas between synonyms; ROOT/words.txt by default.
        first_label: of `folder`: the number of the first class in the label PNGs; 1 by default, 0 is then ignored.

    Raises:
        DatasetError: a file is not where it is expected; the message shows the layout.
        ValueError: another name, limit or first_label.
        VocabularyError: the class list cannot be read.
    """
    if name not in DATASETS:
        raise ValueError(f"the dataset is {name!r}, expected one of {', '.join(DATASETS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}: give at least 1")
    if name == "folder":
        pairs, coding = _folder(root), Coding(first=1 if first_label is None else first_label)
        lines = read_class_lines(classes or root / "words.txt")
        labels, protocol = parse_classes(lines), Protocol(logit_scale=None, short_side=None)
        if coding.first not in (0, 1):
            raise ValueError(f"first_label is {first_label}, expected 0 or 1")
    else:
        if classes is not None or first_label is not None:
            raise ValueError(f"{name} has its own classes and labels: they can be chosen for the dataset folder alone")
        labels, protocol = class_names(name), PROTOCOLS[name]
        pairs, coding = READERS[name](root)
    pairs = pairs[:limit]
    _check(name, root, pairs)
    return Dataset(name, pairs, labels, coding, protocol)


Pairs = tuple[Pair, ...]


def _voc(name: str, year: str, split: str, labels: str) -> Callable[[Path], tuple[Pairs, Coding]]:
    def read(root: Path) -> tuple[Pairs, Coding]:
        base = _base(name, root, split, year, f"VOCdevkit/{year}")
        stems = (base / split).read_text(encoding="utf-8").split()
        pairs = tuple(Pair(base / "JPEGImages" / f"{stem}.jpg", base / labels / f"{stem}.png") for stem in stems)
        return pairs, Coding(first=0 if PROTOCOLS[name].background else 1)

    return read


def _coco(name: str, suffix: str) -> Callable[[Path], tuple[Pairs, Coding]]:
    def read(root: Path) -> tuple[Pairs, Coding]:
        base = _base(name, root, "images/val2017", "coco_stuff164k")
        photos = sorted((base / "images" / "val2017").glob("*.jpg"))
        labels = base / "annotations" / "val2017"
        return tuple(Pair(photo, labels / f"{photo.stem}{suffix}.png") for photo in photos), Coding()

    return read


def _cityscapes(root: Path) -> tuple[Pairs, Coding]:
    base = _base("cityscapes", root, "leftImg8bit/val", "cityscapes")
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


def _ade20k(root: Path) -> tuple[Pairs, Coding]:
    base = _base("ade20k", root, "images/validation", "ADEChallengeData2016")
    photos = sorted((base / "images" / "validation").glob("*.jpg"))
    return tuple(Pair(photo, base / "annotations" / "validation" / f"{photo.stem}.png") for photo in photos), Coding(1)


def _folder(root: Path) -> Pairs:
    base = _base("folder", root, "images")
    photos = sorted(path for path in (base / "images").iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    return tuple(Pair(photo, base / "labels" / f"{photo.stem}.png") for photo in photos)


READERS: dict[str, Callable[[Path], tuple[Pairs, Coding]]] = {
    "voc21": _voc("voc21", "VOC2012", "ImageSets/Segmentation/val.txt", "SegmentationClass"),
    "voc20": _voc("voc20", "VOC2012", "ImageSets/Segmentation/val.txt", "SegmentationClass"),
    "context59": _voc("context59", "VOC2010", "ImageSets/SegmentationContext/val.txt", "SegmentationClassContext"),
    "context60": _voc("context60", "VOC2010", "ImageSets/SegmentationContext/val.txt", "SegmentationClassContext"),
    "coco-object": _coco("coco-object", "_instanceTrainIds"),
    "coco-stuff": _coco("coco-stuff", "_labelTrainIds"),
    "cityscapes": _cityscapes,
    "ade20k": _ade20k,
}

_VOC = """ImageSets/Segmentation/val.txt       one name a line, without suffix
JPEGImages/NAME.jpg
SegmentationClass/NAME.png           0 background, 1 to 20, 255 ignored"""
_CONTEXT = """ImageSets/SegmentationContext/val.txt   one name a line, without suffix
JPEGImages/NAME.jpg
SegmentationClassContext/NAME.png       0 background, 1 to 59 (made by mmsegmentation's pascal_context.py)"""
LAYOUTS = {
    "voc21": _VOC,
    "voc20": _VOC,
    "context59": _CONTEXT,
    "context60": _CONTEXT,
    "coco-object": """images/val2017/NUMBER.jpg
annotations/val2017/NUMBER_instanceTrainIds.png   0 background, 1 to 80 (made by SCLIP's cvt_coco_object.py)""",
    "coco-stuff": """images/val2017/NUMBER.jpg
annotations/val2017/NUMBER_labelTrainIds.png   0 to 170, 255 ignored (made by mmsegmentation's coco_stuff164k.py)""",
    "cityscapes": """leftImg8bit/val/CITY/NAME_leftImg8bit.png
gtFine/val/CITY/NAME_gtFine_labelTrainIds.png   0 to 18, 255 ignored; or NAME_gtFine_labelIds.png as published""",
    "ade20k": """images/validation/NAME.jpg
annotations/validation/NAME.png   1 to 150, 0 ignored""",
    "folder": """images/NAME.jpg (or .png, ...)
labels/NAME.png   palette or grey: 1 is the first class, 0 and 255 (of 16 bits 65535) are ignored
words.txt         one class a line, commas between synonyms""",
}


def _base(name: str, root: Path, wanted: str, *usual: str) -> Path:
    """The folder that holds `wanted`: the root, or where the dataset is usually unpacked below it."""
    for below in ("", *usual):
        if (root / below / wanted).exists():
            return root / below
    raise _missing(name, root, f"there is no {wanted}")


def _check(name: str, root: Path, pairs: Pairs) -> None:
    if not pairs:
        raise _missing(name, root, "it holds no photos")
    missing = list(_not_there(pairs))
    if missing:
        raise _missing(name, root, f"{len(missing)} of its files are missing, first {missing[0]}")


def _not_there(pairs: Pairs) -> Iterator[Path]:
    return (path for pair in pairs for path in (pair.photo, pair.labels) if not path.is_file())


def _missing(name: str, root: Path, found: str) -> DatasetError:
    layout = "\n".join(f"  {line}" for line in LAYOUTS[name].splitlines())
    return DatasetError(f"{root}: {found}. {name} is expected there as\n{layout}")
