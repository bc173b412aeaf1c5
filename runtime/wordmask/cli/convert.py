"""`wordmask convert`: the options. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from wordmask.cli.exit_status import OK, SOME_PHOTOS_FAILED
from wordmask.formats.terminal import counted, printable
from wordmask.photo.url import Url, parse_place

if TYPE_CHECKING:
    from wordmask.convert.photo_files import Placing

FORMATS = ("coco", "coco-datumaro", "coco-panoptic", "yolo-seg", "labelme", "cvat", "voc", "geojson", "labelstudio")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask convert`."""
    add = parser.add_argument
    add("out", type=parse_place, metavar="OUT", help="the output folder of a finished run")
    add("--format", required=True, choices=FORMATS, help="what to write")
    add("--output", type=parse_place, metavar="DIR", help="the folder to make (default: OUT/convert/FORMAT)")
    add(
        "--photos",
        choices=("none", "link", "hardlink", "copy", "upright"),
        help="bring the photos too, as links, or as hard links or copies for readers that follow none; upright: "
        "copies, turned where EXIF says so, for readers that ignore it (default: link for yolo-seg, else none)",
    )
    add(
        "--stuff",
        nargs="+",
        default=(),
        metavar="WORD",
        help="of coco-panoptic: words that are stuff and not things, such as sky; a photo has one segment of each",
    )
    add("--force", action="store_true", help="replace what an earlier conversion wrote there")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask convert`; gives the exit status."""
    for place in (args.out, args.output):
        if isinstance(place, Url):
            advice = "copy the run here first (`aws s3 sync` and the like) and copy the result back"
            raise ValueError(f"{place} is a URL, and convert reads and writes folders of this machine: {advice}")
    from tqdm import tqdm

    from wordmask.convert.conversion import convert

    target = args.output or args.out / "convert" / args.format
    placing: Placing = args.photos or ("link" if args.format == "yolo-seg" else "none")
    with tqdm(unit="photo", disable=not sys.stderr.isatty()) as bar:
        converted = convert(
            args.out,
            args.format,
            target,
            placing=placing,
            stuff=args.stuff,
            force=args.force,
            log=lambda text: tqdm.write(printable(text), file=sys.stderr),
            progress=lambda done: bar.update(done - bar.n),
        )
    print(
        printable(f"{counted(converted.photos, 'photo')}, {counted(converted.objects, 'object')}: {target}"), flush=True
    )
    return SOME_PHOTOS_FAILED if converted.left_out else OK
