"""The overlay: a photo with its masks, words, scores and prompt points drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.formats.label_fonts import Font, written
from wordmask.formats.label_placement import Label, Place, Point, Rectangle, place_labels
from wordmask.formats.word_colours import DARK, WHITE, Colour, letters_on, word_colours
from wordmask.types import Instance, Segmentation

Picture = NDArray[np.uint8]
_LARGE = 0.2  # of the photo: a mask of more is outlined and not filled
_OPACITY = 0.25  # of the fill
_POINT_COLOURS: dict[int, Colour] = {1: (30, 190, 80), 0: (220, 40, 40)}  # by the point's label: inside, outside


@dataclass(frozen=True, eq=False)
class _Drawn:
    """An object as it is drawn.

    Attributes:
        colour: of its word.
        contours: of its mask, i32 (P, 1, 2) each.
        anchor: a pixel of its mask, to which its label belongs.
        large: see is_large.
    """

    instance: Instance
    colour: Colour
    contours: Sequence[Any]
    anchor: Point
    large: bool


def draw(photo: Picture, result: Segmentation) -> Picture:
    """Draws a result over its photo.

    Masks are outlined and lightly filled in the colour of their word (see word_colours), in rising score; masks of more
    than a fifth of the photo are only outlined. Each has a label with its word and score: over it if it is large, else
    beside it with a line to it. Labels cover neither each other nor small objects; where no place is left for one, it
    is left out. Positive prompt points are green dots, negative ones red dots with a bar. Lines and letters grow with
    the photo. Words whose letters no font at hand has are shown by their number.

    Args:
        photo: u8 (H, W, 3), RGB.
        result: the segmentation of this photo.

    Returns:
        u8 (H, W, 3), RGB, a new array.

    Raises:
        ValueError: photo and result differ in size.
    """
    if photo.shape != (*result.semantic.shape, 3):
        raise ValueError(f"the photo has shape {photo.shape}, the result belongs to one of {result.semantic.shape}")
    unit = max(photo.shape[:2]) / 1000
    instances = sorted(result.instances, key=lambda instance: -instance.score)[::-1]
    picture, drawn = _fill(photo, instances, word_colours(result.words))
    for each in sorted(drawn, key=lambda each: not each.large):  # a wall's outline is that of what stands before it
        _outline(picture, each, unit)
    texts = _label_texts(drawn[::-1], unit)
    places = _label_places(texts, drawn[::-1], picture, unit)
    for each, place in zip(drawn[::-1], places, strict=True):
        if place is not None and place.leader is not None:
            _leader(picture, place.leader, each.colour, unit)
    for each in drawn:
        _dots(picture, each.instance, unit)
    return _write(picture, texts, places, [each.colour for each in drawn[::-1]], unit)


def is_large(instance: Instance, size: tuple[int, int]) -> bool:
    """Whether a mask covers so much of its photo (height, width) that it is outlined and not filled: sky, walls."""
    return instance.area > _LARGE * size[0] * size[1]


def _fill(photo: Picture, instances: Sequence[Instance], colours: Sequence[Colour]) -> tuple[Picture, list[_Drawn]]:
    """The photo with its smaller masks filled, and what is needed to draw the rest."""
    filled, drawn, size = photo.copy(), [], (photo.shape[0], photo.shape[1])
    for instance in instances:  # where masks overlap, the last one's colour, not a mixture
        x0, y0, x1, y1 = instance.box
        mask, colour = rle.decode_box(instance.mask, instance.box), colours[instance.class_index]
        if not (large := is_large(instance, size)):
            filled[y0:y1, x0:x1][mask] = colour
        contours, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(x0, y0))
        drawn.append(_Drawn(instance, colour, contours, _anchor(instance, mask), large))
    return np.asarray(cv2.addWeighted(photo, 1 - _OPACITY, filled, _OPACITY, 0), dtype=np.uint8), drawn


def _anchor(instance: Instance, mask: BoolMask) -> Point:
    """The first positive point if it lies in the mask, else the mask's pixel nearest to it or to the box's middle."""
    x0, y0, x1, y1 = instance.box
    inside = [
        point for point, label in zip(instance.points.tolist(), instance.labels.tolist(), strict=True) if label == 1
    ]
    x, y = inside[0] if inside else ((x0 + x1) / 2, (y0 + y1) / 2)
    column, row = int(x) - x0, int(y) - y0
    if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1] and mask[row, column]:
        return x, y
    rows, columns = np.nonzero(mask)
    nearest = int(np.hypot(rows - (y - y0), columns - (x - x0)).argmin())
    return float(columns[nearest] + x0), float(rows[nearest] + y0)


def _outline(picture: Picture, drawn: _Drawn, unit: float) -> None:
    width = _line_width(unit)
    for line, thickness in ((DARK, width + 2 * round(0.8 * unit)), (drawn.colour, width)):
        cv2.drawContours(picture, drawn.contours, -1, line, thickness, cv2.LINE_AA)


def _line_width(unit: float) -> int:
    return max(1, round(2 * unit))


def _leader(picture: Picture, leader: tuple[Point, Point], colour: Colour, unit: float) -> None:
    (x0, y0), (x1, y1) = leader
    width = max(2, _line_width(unit))
    for line, thickness in ((DARK, width + 2 * max(1, round(0.8 * unit))), (colour, width)):
        cv2.line(picture, _fixed(x0, y0), _fixed(x1, y1), line, thickness, cv2.LINE_AA, 4)


def _dots(picture: Picture, instance: Instance, unit: float) -> None:
    radius = _dot_radius(unit)
    for (x, y), label in zip(instance.points.tolist(), instance.labels.tolist(), strict=True):
        if label not in _POINT_COLOURS:
            continue
        for size, colour in ((1.0, DARK), (0.85, WHITE), (0.6, _POINT_COLOURS[label])):
            cv2.circle(picture, _fixed(x, y), _fixed(radius * size, 0)[0], colour, cv2.FILLED, cv2.LINE_AA, 4)
        if label == 0:
            ends = _fixed(x - radius * 0.3, y), _fixed(x + radius * 0.3, y)
            cv2.line(picture, *ends, WHITE, max(1, round(unit)), cv2.LINE_AA, 4)


def _dot_radius(unit: float) -> float:
    return max(3.0, 5 * unit)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates with four fractional bits."""
    return round(x * 16), round(y * 16)


@dataclass(frozen=True, eq=False)
class _LabelText:
    """A label's text in its font. size: width and height of its plate in pixels."""

    text: str
    font: Font
    size: tuple[int, int]


def _label_texts(drawn: Sequence[_Drawn], unit: float) -> list[_LabelText]:
    size = max(11, round(13.5 * unit))
    margin = round(0.25 * size)
    texts = []
    for instance in (each.instance for each in drawn):
        word, font = written(instance.word, instance.class_index, size)
        text = f"{word} {instance.score:.2f}"
        texts.append(_LabelText(text, font, (round(font.getlength(text)) + 2 * margin, round(1.3 * size) + margin)))
    return texts


def _label_places(
    texts: Sequence[_LabelText], drawn: Sequence[_Drawn], picture: Picture, unit: float
) -> list[Place | None]:
    labels = [Label(text.size, each.anchor, each.instance.box) for text, each in zip(texts, drawn, strict=True)]
    radius = _dot_radius(unit)
    dots: list[Rectangle] = [
        (round(x - radius), round(y - radius), round(x + radius) + 1, round(y + radius) + 1)
        for x, y in (each.anchor for each in drawn)
    ]
    return place_labels(labels, (picture.shape[1], picture.shape[0]), dots)


def _write(
    picture: Picture,
    texts: Sequence[_LabelText],
    places: Sequence[Place | None],
    colours: Sequence[Colour],
    unit: float,
) -> Picture:
    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    for text, place, colour in zip(texts, places, colours, strict=True):
        if place is None:
            continue
        x0, y0, x1, y1 = place.box
        border = DARK if unit > 0.6 else None
        canvas.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), text.size[1] // 6, fill=colour, outline=border)
        canvas.text(((x0 + x1) / 2, (y0 + y1) / 2), text.text, font=text.font, fill=letters_on(colour), anchor="mm")
    return np.array(image)
