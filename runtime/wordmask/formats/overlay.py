"""The overlay: a photo with its masks, words, scores and prompt points drawn on it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wordmask import rle
from wordmask.formats.palette import class_colour, edge_colour
from wordmask.types import Instance, Segmentation

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1, exclusive ends
_OPACITY = 0.45
_WHITE: Colour = (255, 255, 255)
_DARK: Colour = (24, 24, 24)
_POINT_COLOURS: dict[int, Colour] = {1: (30, 190, 80), 0: (220, 40, 40)}  # by the point's label: inside, outside
# The font inside Pillow has little beyond ASCII. These are the usual ones of Linux, Windows and macOS.
_FONTS = ("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "arial.ttf", "Arial Unicode.ttf", "Helvetica.ttc")


def draw(photo: Picture, result: Segmentation) -> Picture:
    """Draws a result over its photo.

    Masks are tinted in the VOC colour of their class (class index + 1) and outlined, in rising score. Each carries its
    word and score, next to its first positive point. Positive prompt points are green dots, negative ones red dots with
    a bar. Lines and letters grow with the photo. Letters that no font at hand has lose their accents or become "?".

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
    picture = _tint(photo, instances)
    for instance in instances:
        _outline(picture, instance, unit)
    for instance in instances:
        _dots(picture, instance, unit)
    return _write(picture, instances[::-1], unit)


def _tint(photo: Picture, instances: Sequence[Instance]) -> Picture:
    colours = photo.copy()  # where masks overlap, the last one's colour, not a mixture
    for instance in instances:
        x0, y0, x1, y1 = instance.box
        colours[y0:y1, x0:x1][rle.decode_box(instance.mask, instance.box)] = class_colour(instance.class_index)
    return np.asarray(cv2.addWeighted(photo, 1 - _OPACITY, colours, _OPACITY, 0), dtype=np.uint8)


def _outline(picture: Picture, instance: Instance, unit: float) -> None:
    x0, y0, _, _ = instance.box
    mask = rle.decode_box(instance.mask, instance.box).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    bright = edge_colour(instance.class_index)
    width = max(1, round(1.5 * unit))
    for line, thickness in ((_DARK, width + 2 * round(0.6 * unit)), (bright, width)):
        cv2.drawContours(picture, contours, -1, line, thickness, cv2.LINE_AA, offset=(x0, y0))


def _dots(picture: Picture, instance: Instance, unit: float) -> None:
    radius = _dot_radius(unit)
    for (x, y), label in zip(instance.points.tolist(), instance.labels.tolist(), strict=True):
        if label not in _POINT_COLOURS:
            continue
        for size, colour in ((1.0, _DARK), (0.85, _WHITE), (0.6, _POINT_COLOURS[label])):
            cv2.circle(picture, _fixed(x, y), _fixed(radius * size, 0)[0], colour, cv2.FILLED, cv2.LINE_AA, 4)
        if label == 0:
            ends = _fixed(x - radius * 0.3, y), _fixed(x + radius * 0.3, y)
            cv2.line(picture, *ends, _WHITE, max(1, round(unit)), cv2.LINE_AA, 4)


def _dot_radius(unit: float) -> float:
    return max(3.0, 5 * unit)


def _fixed(x: float, y: float) -> tuple[int, int]:
    """A point in OpenCV's fixed-point coordinates with four fractional bits."""
    return round(x * 16), round(y * 16)


def _write(picture: Picture, instances: Sequence[Instance], unit: float) -> Picture:
    """Writes the labels, the best first: each takes the free place nearest to its point, beside the other points."""
    size = max(11, round(13.5 * unit))
    font, simpler = _font(size, frozenset("".join(instance.word for instance in instances)))
    margin, radius = round(0.25 * size), _dot_radius(unit)
    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    anchors = [_anchor(instance) for instance in instances]
    taken = [(round(x - radius), round(y - radius), round(x + radius), round(y + radius)) for x, y in anchors]
    for instance, anchor in zip(instances, anchors, strict=True):
        word = " ".join(instance.word.split())
        text = f"{word.translate(simpler)} {instance.score:.2f}"
        box = (round(canvas.textlength(text, font=font)) + 2 * margin, round(1.3 * size) + margin)
        x0, y0 = _place(anchor, box, image.size, taken, round(radius + 2))
        x1, y1 = x0 + box[0], y0 + box[1]
        taken.append((x0, y0, x1, y1))
        colour = class_colour(instance.class_index)
        light = np.dot(colour, (0.299, 0.587, 0.114)) > 140
        canvas.rounded_rectangle((x0, y0, x1 - 1, y1 - 1), margin, fill=colour, outline=_WHITE if unit > 1 else None)
        middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        canvas.text(middle, text, font=font, fill=_DARK if light else _WHITE, anchor="mm")
    return np.array(image)


def _anchor(instance: Instance) -> tuple[float, float]:
    for point, label in zip(instance.points.tolist(), instance.labels.tolist(), strict=True):
        if label == 1:
            return point[0], point[1]
    x0, y0, x1, y1 = instance.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def _place(
    anchor: tuple[float, float], size: tuple[int, int], limits: tuple[int, int], taken: Sequence[Rectangle], gap: int
) -> tuple[int, int]:
    """Top-left corner of a label above its anchor, or further up or down where that is taken; inside the picture."""
    width, height = size
    x = max(0, min(round(anchor[0] - width / 2), limits[0] - width))
    above, below = round(anchor[1]) - gap - height, round(anchor[1]) + gap
    tries = [y for step in range(8) for y in (above - step * (height + 1), below + step * (height + 1))]
    tries = [max(0, min(y, limits[1] - height)) for y in tries]
    for y in tries:
        if all(x >= x1 or x + width <= x0 or y >= y1 or y + height <= y0 for x0, y0, x1, y1 in taken):
            return x, y
    return x, tries[0]


@lru_cache(maxsize=64)  # looking for fonts takes longer than drawing
def _font(size: int, letters: frozenset[str]) -> tuple[Font, dict[int, str]]:
    """The font that has most of the letters, and what to write for those it lacks."""
    best, missing = ImageFont.load_default(size), set(letters)
    for name in (None, *_FONTS):
        try:
            font = ImageFont.truetype(name, size) if name else best
        except OSError:
            continue
        lacks = {letter for letter in letters if not (letter.isascii() or _has(font, letter))}
        if name is None or len(lacks) < len(missing):
            best, missing = font, lacks
        if not missing:
            break
    plain = {letter: unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() for letter in missing}
    return best, {ord(letter): base or "?" for letter, base in plain.items()}


def _has(font: Font, letter: str) -> bool:
    """Whether a font draws a letter as something else than the box for missing ones."""
    drawn = []
    for text in (letter, "\U0010ffff"):
        image = Image.new("L", (64, 64))
        ImageDraw.Draw(image).text((0, 0), text, font=font, fill=255)
        drawn.append(image.tobytes())
    return drawn[0] != drawn[1]
