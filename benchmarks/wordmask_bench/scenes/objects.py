"""Places objects in a scene, front to back, with exact visible masks; enough of each is visible to name it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.coverage import coverage, place
from wordmask_bench.scenes.noise import Floats
from wordmask_bench.scenes.patterns import Look, draw_look, ink_coverage
from wordmask_bench.scenes.shapes import SHAPES

MOST_OBJECTS = 8
SMALLEST = 12.0  # longer side of an object's box before occlusion, pixels
LARGEST = 0.6  # the same, as a share of the scene's shorter side

_ATTEMPTS = 10  # positions tried for an object
_LEAST_VISIBLE = 0.55  # share of the object
_CUT_OFF = 0.25  # share of the objects that the image's edge may cut
# least thickness and least area of the visible part, in periods and in square periods
_LEAST_PERIODS = {"striped": (0.8, 2.2), "checkered": (1.1, 2.6), "dotted": (1.2, 3.4), "zigzag": (1.8, 5.0)}
_LEAST_THICKNESS = 4.0  # pixels
_LEAST_AREA = 36  # pixels


@dataclass(frozen=True, eq=False)
class Placed:
    """An object at its position. Arrays cover its box within the image: rows from y0, columns from x0.

    Attributes:
        word: its phrase.
        look: its colours and pattern.
        x0: first column of the box.
        y0: first row of the box.
        alpha: u8 (h, w), coverage before occlusion.
        depth: f32 (h, w), distance to its outline in pixels, before occlusion.
        ink: f32 (h, w), coverage of the pattern's second colour.
        visible: bool (h, w), the pixels that show it.
    """

    word: str
    look: Look
    x0: int
    y0: int
    alpha: NDArray[np.uint8]
    depth: Floats
    ink: Floats
    visible: NDArray[np.bool_]


def arrange(rng: np.random.Generator, words: Sequence[str], size: tuple[int, int]) -> list[Placed]:
    """Fills a scene with 1 to 8 objects.

    Args:
        rng: source of randomness.
        words: phrases to choose from.
        size: (H, W).

    Returns:
        At least one object, front first. Objects of one colour do not touch; enough of each is visible to name it.
    """
    wanted = int(rng.integers(1, MOST_OBJECTS + 1))
    owners = np.zeros(size, dtype=np.uint8)  # 0 background, i + 1 the i-th object
    placed: list[Placed] = []
    while wanted or not placed:
        wanted = max(wanted - 1, 0)
        word = words[int(rng.integers(len(words)))]
        for _ in range(_ATTEMPTS):
            candidate = _draw(rng, word, owners)
            if candidate is None or _same_colour_touched(candidate, owners, placed):
                continue
            placed.append(candidate)
            window = _window(candidate, owners)
            window[candidate.visible] = len(placed)
            break
    return placed


def _draw(rng: np.random.Generator, word: str, owners: NDArray[np.uint8]) -> Placed | None:
    """Draws an object behind the others; None if too little of it would be visible to name it."""
    height, width = owners.shape
    extent = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(max(SMALLEST + 8, LARGEST * min(owners.shape))))))
    outline = SHAPES[int(rng.integers(len(SHAPES)))](rng)
    alpha = coverage(place(outline, extent, rng.uniform(0, 2 * np.pi), rng.uniform(0.55, 1.0)))
    look = draw_look(rng, word, extent)
    over = 0.4 if rng.uniform() < _CUT_OFF else 0.0  # share of the box that may lie outside the image
    y0, x0 = (int(rng.uniform(-over * a, s - (1 - over) * a)) for a, s in zip(alpha.shape, owners.shape, strict=True))
    top, left = max(-y0, 0), max(-x0, 0)
    inside = (slice(top, max(min(alpha.shape[0], height - y0), top)), slice(left, min(alpha.shape[1], width - x0)))
    whole = alpha >= 128
    y0, x0 = y0 + top, x0 + left
    behind = owners[y0 : y0 + alpha.shape[0] - top, x0 : x0 + alpha.shape[1] - left]
    visible = whole[inside] & (behind == 0)
    area = np.count_nonzero(visible)
    if area < max(_LEAST_AREA, _LEAST_VISIBLE * np.count_nonzero(whole)):
        return None
    ink = ink_coverage(look, (alpha.shape[0], alpha.shape[1]))[inside]
    if not _can_be_named(look, visible, ink, int(area)):
        return None
    return Placed(word, look, x0, y0, alpha[inside], _depth(whole)[inside], ink, visible)


def _can_be_named(look: Look, visible: NDArray[np.bool_], ink: Floats, area: int) -> bool:
    thickness = 2 * float(_depth(visible).max())
    if look.pattern == "plain":
        return thickness >= _LEAST_THICKNESS
    thick, large = _LEAST_PERIODS[look.pattern]
    if thickness < max(_LEAST_THICKNESS, thick * look.period) or area < large * look.period**2:
        return False
    share = float(ink[visible].mean())
    if not 0.2 <= share <= 0.7:
        return False
    return look.pattern != "striped" or _length_across(look, visible) >= 1.8 * look.period


def _length_across(look: Look, visible: NDArray[np.bool_]) -> float:
    """Extent of a shape across its stripes, in pixels; exact for a bar in that direction."""
    rows, columns = np.nonzero(visible)
    across = np.cos(look.angle) * columns + np.sin(look.angle) * rows
    return float(across.std()) * 12**0.5


def _depth(mask: NDArray[np.bool_]) -> Floats:
    """Distance of each pixel of a mask to its outside, f32 (h, w); 0 outside."""
    padded = np.pad(mask.view(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1], dtype=np.float32)


def _window(candidate: Placed, picture: NDArray[np.uint8], margin: int = 0) -> NDArray[np.uint8]:
    """The part of a scene-sized array under an object's box, as a view."""
    height, width = candidate.visible.shape
    y0, x0 = max(candidate.y0 - margin, 0), max(candidate.x0 - margin, 0)
    return picture[y0 : candidate.y0 + height + margin, x0 : candidate.x0 + width + margin]


def _same_colour_touched(candidate: Placed, owners: NDArray[np.uint8], placed: Sequence[Placed]) -> bool:
    """Whether the candidate's box touches an object of the same colour, so that their border might be invisible."""
    colour = candidate.word.split()[0]
    if all(other.word.split()[0] != colour for other in placed):
        return False
    near = np.unique(_window(candidate, owners, 4))
    return any(placed[owner - 1].word.split()[0] == colour for owner in near if owner)
