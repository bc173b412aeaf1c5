"""The README's picture: photo, class map with bilinear upsampling, with LoftUp, and the masks, side by side.

    python -m wordmask_bench.before_after examples/scenes/0[1-4].png --vocabulary @examples/scenes/words.txt \
        --background none --out docs/scenes.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from wordmask.cli_arguments import background_words, class_lines
from wordmask.image import decode
from wordmask.overlay import draw
from wordmask.palette import voc_palette
from wordmask.pipeline import Segmenter
from wordmask.types import Options

Picture = NDArray[np.uint8]
TITLES = ("photo", "class map, bilinear", "class map, LoftUp", "masks")
GAP, TITLE = 6, 26  # pixels


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.before_after", description="Draw before, after and masks.")
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--vocabulary", nargs="+", required=True, metavar="WORD")
    parser.add_argument("--background", default="default", metavar="default|none|@FILE")
    parser.add_argument("--bundle", metavar="NAME_OR_PATH")
    parser.add_argument("--height", type=int, default=220, help="of a row, pixels (%(default)s)")
    parser.add_argument("--min-confidence", type=float, default=Options.min_confidence)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args(arguments)


def panels(segmenter: Segmenter, photo: Picture, words: list[str], background: list[str], options: Options) -> Picture:
    """One photo u8 (H, W, 3) and its three results: u8 (4, H, W, 3)."""
    sharp = segmenter(photo, words, background=background, options=options)
    blurred = Options(use_loftup=False, min_confidence=options.min_confidence)
    plain = segmenter(photo, words, background=background, options=blurred)
    return np.stack([photo, _painted(photo, plain.dense), _painted(photo, sharp.dense), draw(photo, sharp)])


def _painted(photo: Picture, dense: NDArray[np.uint16]) -> Picture:
    """A class map in the VOC colours over its photo; outlines of classes in white."""
    colours = voc_palette()[np.where(dense > 0, (dense - 1) % 255 + 1, 0)]
    picture = cv2.addWeighted(photo, 0.35, colours, 0.65, 0)
    plane = dense.astype(np.uint16)
    picture[cv2.morphologyEx(plane, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0] = 255
    return np.asarray(picture, np.uint8)


def sheet(rows: list[Picture], height: int) -> Picture:
    """Rows of four panels at one height under their titles, on white."""
    scaled = [[_to_height(panel, height) for panel in row] for row in rows]
    widths = [max(row[column].shape[1] for row in scaled) for column in range(len(TITLES))]
    total = sum(widths) + GAP * (len(TITLES) - 1)
    out = np.full((TITLE + len(rows) * (height + GAP) - GAP, total, 3), 255, np.uint8)
    starts = np.cumsum([0, *(width + GAP for width in widths)]).tolist()
    for i, row in enumerate(scaled):
        top = TITLE + i * (height + GAP)
        for panel, left, width in zip(row, starts, widths, strict=False):
            x = left + (width - panel.shape[1]) // 2
            out[top : top + height, x : x + panel.shape[1]] = panel
    page = Image.fromarray(out)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for title, left, width in zip(TITLES, starts, widths, strict=False):
        pen.text((left + width // 2, TITLE // 2), title, fill=(40, 40, 40), font=font, anchor="mm")
    return np.asarray(page)


def _to_height(panel: Picture, height: int) -> Picture:
    width = max(1, round(panel.shape[1] * height / panel.shape[0]))
    return np.asarray(cv2.resize(panel, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    args = parse_args(arguments)
    segmenter = Segmenter(args.bundle)
    words, background = class_lines(args.vocabulary), background_words(args.background)
    options = Options(min_confidence=args.min_confidence)
    rows = [panels(segmenter, decode(photo), words, background, options) for photo in args.photos]
    Image.fromarray(sheet(rows, args.height)).save(args.out, quality=88)
    return 0


if __name__ == "__main__":
    sys.exit(main())
