"""The PASCAL VOC colour map, in which label PNGs are saved; pictures for people have the colours of word_colours."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def class_colour(class_index: int) -> tuple[int, int, int]:
    """Red, green and blue of a class: the palette from 1 on, starting again after 255 classes."""
    red, green, blue = voc_palette()[1 + class_index % 255].tolist()
    return red, green, blue


@cache
def voc_palette() -> NDArray[np.uint8]:
    """The 256 colours of the VOC development kit (VOClabelcolormap.m); 0 is black: no class.

    Bits 0, 1 and 2 of the index are the highest bits of red, green and blue, bits 3, 4 and 5 the next ones, and so on.

    Returns:
        u8 (256, 3), RGB, read-only.
    """
    index = np.arange(256)[:, None] >> np.arange(3)  # (256, 3)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for group in range(3):
        colours |= (((index >> 3 * group) & 1) << (7 - group)).astype(np.uint8)
    colours.flags.writeable = False
    return colours
