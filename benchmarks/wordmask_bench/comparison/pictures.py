"""Images of a comparison: class maps, confidence, masks and differences, and sheets of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wordmask.arrays import BoolMask, Floats
from wordmask.formats.overlay import draw
from wordmask.formats.word_colours import class_map_colours
from wordmask_bench.comparison.compare import SMALL, Comparison, Side

Picture = NDArray[np.uint8]
GAP, TITLE = 6, 26  # pixels
_DIFFERENT = (230, 30, 90)


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
    """A sheet of both sides' images in two rows of a height in pixels, with their figures below."""
    before, after = comparison.before, comparison.after
    rows = [
        [*pictures(comparison, before).values(), comparison.photo],
        [*pictures(comparison, after).values(), marked(comparison.photo, comparison.differs)],
    ]
    notes = [
        f"{place} {side.name}: {side.seconds:.2f} s, {side.result.prompt_count} prompts, "
        f"{len(side.result.instances)} masks, {side.small_regions} regions under {SMALL} pixels, "
        f"uncertain band at borders {side.band:.2f} pixels"
        for place, side in (("above,", before), ("below,", after))
    ]
    titles = ("class map", "confidence", "masks and prompts", f"photo; {comparison.disagreement:.1%} differ")
    return sheet(rows, titles, height, notes)


def sheet(rows: Sequence[Sequence[Picture]], titles: Sequence[str], height: int, notes: Sequence[str] = ()) -> Picture:
    """Rows of panels of one height on white, titles above, one line per note below.

    Args:
        rows: one panel u8 (H, W, 3) per title each.
        titles: of the columns.
        height: of a panel, pixels.
        notes: plain text.
    """
    scaled = [[_to_height(panel, height) for panel in row] for row in rows]
    widths = [max(row[column].shape[1] for row in scaled) for column in range(len(titles))]
    total = sum(widths) + GAP * (len(titles) - 1)
    below = TITLE * len(notes) + GAP if notes else 0
    out = np.full((TITLE + len(rows) * (height + GAP) - GAP + below, total, 3), 255, np.uint8)
    starts = np.cumsum([0, *(width + GAP for width in widths)]).tolist()
    for i, row in enumerate(scaled):
        top = TITLE + i * (height + GAP)
        for panel, left, width in zip(row, starts, widths, strict=False):
            x = left + (width - panel.shape[1]) // 2
            out[top : top + height, x : x + panel.shape[1]] = panel
    page = Image.fromarray(out)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for title, left, width in zip(titles, starts, widths, strict=False):
        pen.text((left + width // 2, TITLE // 2), title, fill=(40, 40, 40), font=font, anchor="mm")
    for i, note in enumerate(notes):
        pen.text((GAP, len(out) - below + GAP + TITLE * i), note, fill=(40, 40, 40), font=font)
    return np.asarray(page)


def _to_height(panel: Picture, height: int) -> Picture:
    width = max(1, round(panel.shape[1] * height / panel.shape[0]))
    return np.asarray(cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
