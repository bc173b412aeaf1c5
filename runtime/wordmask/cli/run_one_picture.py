"""`wordmask run --output F.png` or `F.jpg`: one photo with its masks drawn on it, and nothing else."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wordmask.cli.arguments import read_options
from wordmask.cli.exit_status import OK, SOME_PHOTOS_FAILED
from wordmask.formats.terminal import counted, printable
from wordmask.photo.suffixes import IMAGE_SUFFIXES
from wordmask.photo.url import Place

if TYPE_CHECKING:
    from wordmask.photo.job import Job
    from wordmask.pipeline import Segmenter
    from wordmask.text.queries import Queries
    from wordmask.types import Options


PICTURES = (".png", ".jpg", ".jpeg")
OTHER_FILES = frozenset(
    f".{name}"
    for name in (
        *("json", "jsonl", "txt", "csv", "tsv", "xml", "yaml", "yml", "html", "htm", "pdf", "npz", "npy", "parquet"),
        *("zip", "tar", "gz", "tgz", "7z", "mp4", "avi", "mov", "mkv", "webm", "pt", "pth", "onnx", "md", "log"),
    )
)


def one_picture(args: argparse.Namespace) -> bool:
    """Whether --output names one picture, not a folder.

    Raises:
        ValueError: it names a file of another kind.
    """
    output: Place = args.output
    if isinstance(output, Path) and output.is_dir():
        return False
    suffix = output.suffix.lower()
    if suffix in PICTURES:
        return True
    if suffix in IMAGE_SUFFIXES or suffix in OTHER_FILES:
        way = "name a folder for the results, or a .png or .jpg for one photo with its masks drawn on it"
        raise ValueError(f"--output is {str(output)!r}, which looks like a file: {way}")
    return False


def check_one_picture(args: argparse.Namespace, photos: int) -> None:
    """Raises ValueError if one picture cannot hold what is asked for."""
    if photos > 1:
        raise ValueError(f"--output {args.output} is one picture, of {photos} photos: name a folder for the results")
    if args.keep_intermediate or args.reuse:
        option = "--reuse" if args.reuse else "--keep-intermediate"
        raise ValueError(f"--output {args.output} is one picture, {option} needs a folder")
    if args.save_dense:
        raise ValueError(f"--output {args.output} is one picture, --save-dense needs a folder")


def run_picture(segmenter: Segmenter, job: Job, queries: Queries, options: Options, args: argparse.Namespace) -> int:
    """Segments the photo and writes the picture; gives the exit status."""
    from wordmask.errors import PhotoError
    from wordmask.formats.explanation import remarks
    from wordmask.formats.overlay import draw
    from wordmask.formats.pictures import jpeg, png
    from wordmask.run.find_photos import load_unchanged
    from wordmask.system.files import write_bytes

    try:
        photo = load_unchanged(job, read_options(args))
    except PhotoError as error:
        print(printable(f"{error.code}: {error}"), file=sys.stderr)
        return SOME_PHOTOS_FAILED
    result = segmenter.segment(photo.pixels, queries, options)
    encode = png if args.output.suffix.lower() == ".png" else jpeg
    write_bytes(args.output, encode(draw(photo.pixels, result)))
    for text in remarks(photo.notes, result, options):
        print(printable(f"{job.path}: {text}"), file=sys.stderr)
    print(printable(f"{counted(len(result.instances), 'mask')}: {args.output}"), flush=True)
    return OK
