"""Label PNGs as the datasets publish them: which class a stored number means, and which pixels do not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask_bench.datasets import DatasetError

IGNORED = -1  # of a label map: the pixel does not count
GREY = ("I;16", "I;16B", "I")  # Pillow's modes of a 16-bit grey PNG; P and L have 8 bits


@dataclass(frozen=True)
class Coding:
    """What the numbers of a dataset's label PNGs mean. The highest number (255 or 65535) is always "ignore".

    Attributes:
        first: the number of the first class; lower ones are ignored. 1 is what mmsegmentation calls reduce_zero_label.
        numbers: of each class, where they do not follow each other; all others are ignored.
    """

    first: int = 0
    numbers: Sequence[int] | None = None


def read_labels(path: Path, coding: Coding, classes: int) -> NDArray[np.int32]:
    """The classes of a label PNG's pixels, i32 (H, W): 0 to classes - 1, or IGNORED.

    Numbers are read as they are stored: of a palette PNG the index, never the colour.

    Raises:
        DatasetError: the file cannot be read, is no palette or grey picture, or holds a number of no class.
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
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's, of broken files
        raise DatasetError(f"{path}: cannot be read as a picture of labels ({error})") from error
    raise DatasetError(f"{path}: its pixels are {mode}, expected a palette or grey PNG whose numbers are the labels")
