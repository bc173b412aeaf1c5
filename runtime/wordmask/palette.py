"""The PASCAL VOC colour map, in which class maps are saved and drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def voc_palette() -> NDArray[np.uint8]:
    """The 256 colours of the VOC development kit (VOClabelcolormap.m); 0 is black and stands for none.

    Bits 0, 1 and 2 of the index are the highest bits of red, green and blue, bits 3, 4 and 5 the next ones, and so on.

    Returns:
        u8 (256, 3), RGB.
    """
    index = np.arange(256)[:, None] >> np.arange(3)  # (256, 3)
    colours = np.zeros((256, 3), dtype=np.uint8)
    for group in range(3):
        colours |= (((index >> 3 * group) & 1) << (7 - group)).astype(np.uint8)
    return colours
