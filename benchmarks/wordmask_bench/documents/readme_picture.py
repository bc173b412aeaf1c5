"""The README's picture: photo, class map with bilinear upsampling, with LoftUp, and the masks, side by side.

    python -m wordmask_bench.documents.readme_picture examples/things/0[1236].jpg \
        --vocabulary @examples/things/words.txt --out docs/things.jpg
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from wordmask.formats.overlay import draw
from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask.text.word_lists import background_words, class_lines
from wordmask.types import Options
from wordmask_bench.comparison.pictures import Picture, painted, sheet

TITLES = ("photo", "class map, bilinear", "class map, LoftUp", "masks")


def panels(
    segmenter: Segmenter, photo: Picture, words: list[str], background: list[str], options: Options
) -> list[Picture]:
    """A photo u8 (H, W, 3) and images of its three results, all of the same size."""
    sharp = segmenter(photo, words, background=background, options=options)
    blurred = Options(use_loftup=False, min_confidence=options.min_confidence)
    plain = segmenter(photo, words, background=background, options=blurred)
    return [
        photo,
        painted(photo, plain.dense, plain.words),
        painted(photo, sharp.dense, sharp.words),
        draw(photo, sharp),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="wordmask_bench.documents.readme_picture", description="Draw before, after and masks."
    )
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--vocabulary", nargs="+", required=True, metavar="WORD")
    parser.add_argument("--background", default="default", metavar="default|none|@FILE")
    parser.add_argument("--bundle", metavar="NAME_OR_PATH")
    parser.add_argument("--height", type=int, default=220, help="of a row, pixels (%(default)s)")
    parser.add_argument("--min-confidence", type=float, default=Options.min_confidence)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args(arguments)
    segmenter = Segmenter(args.bundle)
    words, background = [line.text for line in class_lines(args.vocabulary)], background_words(args.background)
    options = Options(min_confidence=args.min_confidence)
    rows = [panels(segmenter, decode(photo), words, background, options) for photo in args.photos]
    Image.fromarray(sheet(rows, TITLES, args.height)).save(args.out, quality=88)


if __name__ == "__main__":
    main()
