"""Images of a comparison: class maps, confidence, masks and differences, and sheets of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wordmask.arrays import BoolMask, Floats
from wordmask.formats.label_fonts import Font
from wordmask.formats.overlay import draw
from wordmask.formats.word_colours import class_map_colours
from wordmask_bench.comparison.compare import METRICS_HEAD, Comparison, Side

Picture = NDArray[np.uint8]
GAP, TITLE = 6, 26  # pixels
_DIFFERENT = (230, 30, 90)
_INK, _SOFT = (28, 33, 40), (110, 118, 128)


def painted(photo: Picture, dense: NDArray[np.uint16], words: Sequence[str]) -> Picture:
    """A class map in the words' colours over its photo, with white outlines."""
    picture = cv2.addWeighted(photo, 0.35, class_map_colours(words)[dense], 0.65, 0)
    picture[cv2.morphologyEx(dense, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0] = 255
    return np.asarray(picture, np.uint8)


def heat(confidence: Floats) -> Picture:
    """Probabilities in viridis colours: 0 is dark, 1 is bright."""
    levels = np.clip(np.rint(confidence * 255), 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS), cv2.COLOR_BGR2RGB), np.uint8)


def marked(photo: Picture, differs: BoolMask) -> Picture:
    """The photo in grey with the differing pixels in red."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) // 2 + 100
    picture = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    picture[differs] = _DIFFERENT
    return picture


def pictures(comparison: Comparison, side: Side) -> dict[str, Picture]:
    """Images of one side's results, by name."""
    photo, result = comparison.photo, side.result
    return {
        "class map": painted(photo, result.dense, result.words),
        "confidence": heat(result.confidence),
        "masks and prompts": draw(photo, result),
    }


def comparison_sheet(comparison: Comparison, height: int) -> Picture:
    """A sheet of both sides' images in two rows of a height in pixels, with the table of their figures below."""
    before, after = comparison.before, comparison.after
    rows = [
        [*pictures(comparison, before).values(), comparison.photo],
        [*pictures(comparison, after).values(), marked(comparison.photo, comparison.differs)],
    ]
    titles = ("class map", "confidence", "masks and prompts", "photo; below it, where the class differs")
    return sheet(rows, titles, height, names=(before.name, after.name), table=(METRICS_HEAD, *comparison.metrics()))


def sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str],
    height: int,
    *,
    names: Sequence[str] = (),
    table: Sequence[Sequence[str]] = (),
) -> Picture:
    """Rows of panels of one height on white, titles above, a table below.

    Args:
        rows: one panel u8 (H, W, 3) per title each.
        titles: of the columns.
        height: of a panel, pixels.
        names: of the rows, written on their first panels.
        table: its head and rows; the first two columns are text, the others figures.
    """
    scaled = [[_to_height(panel, height) for panel in row] for row in rows]
    widths = [max(row[column].shape[1] for row in scaled) for column in range(len(titles))]
    total = sum(widths) + GAP * (len(titles) - 1)
    bottom = TITLE + len(rows) * (height + GAP) - GAP
    below = TITLE * len(table) + 2 * GAP if table else 0
    out = np.full((bottom + below, total, 3), 255, np.uint8)
    starts = np.cumsum([0, *(width + GAP for width in widths)]).tolist()
    for i, row in enumerate(scaled):
        top = TITLE + i * (height + GAP)
        for panel, left, width in zip(row, starts, widths, strict=False):
            x = left + (width - panel.shape[1]) // 2
            out[top : top + height, x : x + panel.shape[1]] = panel
    page = Image.fromarray(out)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for title, left, width in zip(titles, starts, widths, strict=False):
        pen.text((left + width // 2, TITLE // 2), title, fill=_INK, font=font, anchor="mm")
    for i, name in enumerate(names):
        top = TITLE + i * (height + GAP)
        pen.rectangle((0, top, font.getlength(name) + 2 * GAP, top + TITLE), fill="white")
        pen.text((GAP, top + TITLE // 2), name, fill=_INK, font=font, anchor="lm")
    _write_table(pen, font, table, bottom + GAP)
    return np.asarray(page)


def _write_table(pen: ImageDraw.ImageDraw, font: Font, table: Sequence[Sequence[str]], top: int) -> None:
    """Writes rows of TITLE pixels below `top`, with a line below the head."""
    right = 0
    for column, cells in enumerate(zip(*table, strict=True)):
        left = right + 4 * GAP if column else GAP
        right = left + round(max(font.getlength(cell) for cell in cells))
        for row, cell in enumerate(cells):
            x, anchor = (left, "lm") if column < 2 else (right, "rm")
            pen.text((x, top + TITLE * row + TITLE // 2), cell, fill=_INK if row else _SOFT, font=font, anchor=anchor)
    if table:
        pen.line((GAP, top + TITLE, right, top + TITLE), fill=_SOFT)


def _to_height(panel: Picture, height: int) -> Picture:
    width = max(1, round(panel.shape[1] * height / panel.shape[0]))
    return np.asarray(cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
