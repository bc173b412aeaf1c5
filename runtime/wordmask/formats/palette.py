"""The PASCAL VOC colour map, in which class maps are saved and drawn."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray


def class_colour(class_index: int) -> tuple[int, int, int]:
    """Red, green and blue of a class: the palette from 1 on, starting again after 255 classes."""
    red, green, blue = voc_palette()[1 + class_index % 255].tolist()
    return red, green, blue


def palette_indices(labels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The palette's entry for each label of a class map: 0 stays, above 255 it starts again at 1."""
    return np.where(labels > 0, (labels - 1) % 255 + 1, 0)


def edge_colour(class_index: int) -> tuple[int, int, int]:
    """A brighter form of a class's colour, for outlines: the palette has colours that are nearly black."""
    red, green, blue = ((3 * value + 2 * 255) // 5 for value in class_colour(class_index))
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
