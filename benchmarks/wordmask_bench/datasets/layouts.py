"""Where the files of each dataset are expected, for error messages."""

from __future__ import annotations

from pathlib import Path

from wordmask_bench.datasets import DatasetError

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


def missing(name: str, root: Path, found: str) -> DatasetError:
    """An error with what was found of a dataset and where its files are expected."""
    layout = "\n".join(f"  {line}" for line in LAYOUTS[name].splitlines())
    return DatasetError(f"{root}: {found}. {name} is expected there as\n{layout}")
