"""`wordmask compare`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from wordmask.cli.arguments import (
    add_background,
    add_bundle,
    add_device,
    add_options,
    add_reading,
    add_vocabulary,
    read_options,
)
from wordmask.cli.device import open_for_device
from wordmask.formats.terminal import printable

PICTURES, PAGES = (".png", ".jpg", ".jpeg"), (".html", ".htm")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask compare`."""
    add = (given := parser.add_argument_group("input")).add_argument
    add("--image", required=True, type=Path, metavar="PHOTO", help="the photo")
    add_vocabulary(given, "words to find, as `wordmask run` takes them")
    add_background(given)
    add_reading(given)
    models = parser.add_argument_group("models and masks")
    add_bundle(models)
    add_options(models, "upsample", "min_confidence", "min_region_size")
    add = parser.add_argument_group("output").add_argument
    add("--output", required=True, type=Path, metavar="FILE", help=".png or .jpg for a picture, .html for a page")
    add("--height", type=int, default=360, help="of each panel of the picture, in pixels (%(default)s)")
    add_device(parser.add_argument_group("devices"), upsampler=True)


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask compare`; gives the exit status."""
    from wordmask.photo.reading import load_file
    from wordmask.pipeline import Segmenter
    from wordmask.run.find_photos import refuse_replacing
    from wordmask.system.files import write_bytes
    from wordmask.text.vocabulary import Vocabulary
    from wordmask.text.word_lists import background_words, class_lines
    from wordmask.types import Options
    from wordmask_bench.comparison.compare import compare, table

    kind = args.output.suffix.lower()
    if kind not in PICTURES + PAGES:
        raise ValueError(f"--output is {str(args.output)!r}: its name must end in {', '.join(PICTURES + PAGES)}")
    if args.height < 1:
        raise ValueError(f"--height is {args.height}: give at least 1")
    options = Options(min_confidence=args.min_confidence, min_region_size=args.min_region_size, upsample=args.upsample)
    vocabulary = Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background))
    refuse_replacing([os.path.realpath(args.image)], [os.path.realpath(args.output)])
    photo = load_file(args.image, read_options(args))
    for note in photo.notes:
        print(printable(f"{args.image}: {note}"), file=sys.stderr)
    bundle = open_for_device(args, args.bundle)
    segmenter = Segmenter(bundle, device=args.device, upsampler_device=args.upsampler_device, threads=args.threads)
    domain = segmenter.manifest.domain
    comparison = compare(segmenter, photo.pixels, segmenter.embed(vocabulary), options)
    if kind in PAGES:
        from wordmask.bundle.domains import WARNINGS
        from wordmask_bench.comparison.page import comparison_page

        content = comparison_page(comparison, args.image.name, warning=WARNINGS.get(domain, ""))
    else:
        from wordmask.formats.pictures import jpeg, png
        from wordmask_bench.comparison.pictures import comparison_sheet

        content = (png if kind == ".png" else jpeg)(comparison_sheet(comparison, args.height))
    write_bytes(args.output, content)
    print(table(comparison))
    print(f"written: {args.output}", file=sys.stderr)
    return 0
