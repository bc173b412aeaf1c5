"""Label PNGs as published: the class of each stored number, and the ignored pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask_bench.datasets import DatasetError

IGNORED = -1  # value of pixels in a label map that are not counted
GREY = ("I;16", "I;16B", "I")  # Pillow's modes of a 16-bit grey PNG; P and L have 8 bits


@dataclass(frozen=True)
class Coding:
    """Meaning of the numbers in label PNGs; the highest (255 or 65535) is always ignored.

    Attributes:
        first: number of the first class; lower numbers are ignored. 1 is mmsegmentation's reduce_zero_label.
        numbers: number of each class if they are not consecutive; all other numbers are ignored.
    """

    first: int = 0
    numbers: Sequence[int] | None = None


def read_labels(path: Path, coding: Coding, classes: int) -> NDArray[np.int32]:
    """Reads the classes of a label PNG, i32 (H, W): 0 to classes - 1, or IGNORED.

    The stored numbers are read; in a palette PNG these are the indices, not the colours.

    Raises:
        DatasetError: the file cannot be read, is not a palette or grey image, or has a number without a class.
    """
    stored = _numbers(path)
    ignored = stored == np.iinfo(stored.dtype).max
    if coding.numbers is not None:
        table = np.full(np.iinfo(stored.dtype).max + 1, IGNORED, np.int32)
        table[list(coding.numbers)] = np.arange(classes)
        return np.asarray(table[stored])
    labels = stored.astype(np.int32) - coding.first
    labels[ignored | (labels < 0)] = IGNORED
    if labels.max(initial=IGNORED) >= classes:
        last, void = classes - 1 + coding.first, np.iinfo(stored.dtype).max
        found = int(labels.max()) + coding.first
        raise DatasetError(
            f"{path}: holds the label {found}, expected {coding.first} to {last}, or {void} for ignored pixels"
        )
    return labels


def _numbers(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    try:
        with Image.open(path) as picture:
            if picture.mode in ("P", "L"):
                return np.array(picture, np.uint8)
            if picture.mode in GREY:
                return np.array(picture).astype(np.uint16)
            mode = picture.mode
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # what Pillow raises for broken files
        raise DatasetError(f"{path}: cannot be read as a picture of labels ({error})") from error
    raise DatasetError(f"{path}: its pixels are {mode}, expected a palette or grey PNG whose numbers are the labels")
