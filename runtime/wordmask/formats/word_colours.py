"""The colours of words in pictures for people: bright, apart also for the colour-blind, and stable.

A word's first choice of the twelve colours is a hash of the word alone: it has that colour in every run, wherever it
stands in the list. Only where two words of one run have the same first choice does one of them take another colour.
The VOC palette (`palette.py`) is for label PNGs, whose readers know a class by its index.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
DARK: Colour = (16, 16, 16)
# Found by a search over sRGB in steps of 15 for the set of twelve whose least distance in OKLab is largest, as seen
# by normal eyes and with protanopia and deuteranopia (Machado, Oliveira and Fernandes 2009): 0.116. Allowed were
# colours of lightness 0.55 to 0.92 and of chroma above 0.13.
PALETTE: tuple[Colour, ...] = (
    (120, 255, 180),
    (60, 90, 255),
    (210, 0, 90),
    (45, 195, 255),
    (225, 165, 0),
    (195, 0, 165),
    (240, 75, 165),
    (225, 225, 0),
    (0, 240, 255),
    (60, 150, 240),
    (90, 210, 150),
    (255, 0, 0),
)


def word_colours(words: Sequence[str]) -> tuple[Colour, ...]:
    """A colour of PALETTE for each word of a run.

    Every word gets its first choice unless more words want that colour than each colour has to take (one, up to twelve
    words). The others take what is used least, in the order of their choices. The order of the words does not matter.

    Args:
        words: the classes; case and white space make no difference.
    """
    return tuple(PALETTE[place] for place in _places(tuple(" ".join(word.casefold().split()) for word in words)))


@lru_cache(maxsize=64)
def _places(words: tuple[str, ...]) -> tuple[int, ...]:
    """The place of each word's colour in PALETTE."""
    choices = {word: _choices(word) for word in words}
    most, used = math.ceil(len(choices) / len(PALETTE)), [0] * len(PALETTE)
    taken: dict[str, int] = {}
    ordered = sorted(choices, key=lambda word: (choices[word], word))
    for word in ordered:
        first = choices[word][0]
        if used[first] < most:
            taken[word] = first
            used[first] += 1
    for word in ordered:
        if word not in taken:
            taken[word] = min(choices[word], key=used.__getitem__)
            used[taken[word]] += 1
    return tuple(taken[word] for word in words)


def _choices(word: str) -> tuple[int, ...]:
    """All places of the palette in the order of a word's choices."""
    digest = hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest()
    return tuple(sorted(range(len(PALETTE)), key=lambda place: digest[place]))


def class_map_colours(words: Sequence[str]) -> NDArray[np.uint8]:
    """The colours of a class map's labels, u8 (1 + words, 3): black for 0, no class, then each word's."""
    return np.array([(0, 0, 0), *word_colours(words)], np.uint8)


def contrast(one: Colour, other: Colour) -> float:
    """The contrast of two colours, 1 to 21 (WCAG 2.1, "contrast ratio")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def letters_on(plate: Colour) -> Colour:
    """The colour of letters on a plate of this colour: white or nearly black, whichever is more legible."""
    return max((DARK, WHITE), key=lambda letters: contrast(letters, plate))


def hex_colour(colour: Colour) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: Colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (value / 255 for value in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
