"""`wordmask features`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wordmask.cli.arguments import BACKBONES, add_bundle, add_device, add_reading, read_options
from wordmask.cli.device import named_device
from wordmask.cli.exit_status import OK, SOME_PHOTOS_FAILED
from wordmask.formats.terminal import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wordmask.bundle.opening import AnyBundle
    from wordmask.featurizer import FeatureMaps, Featurizer
    from wordmask.photo.job import Job

SUFFIXES = (".npz", ".png")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask features`."""
    add = (given := parser.add_argument_group("input")).add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER", help="photos, and folders of photos")
    add("--recursive", action="store_true", help="search folders recursively")
    add_reading(given)
    models = parser.add_argument_group("models and features")
    source, shape = models.add_mutually_exclusive_group(), models.add_mutually_exclusive_group()
    text = "the bundle of this name (clip: the default of --bundle)"
    source.add_argument("--backbone", choices=("clip", *BACKBONES), help=text)
    add_bundle(source)
    text = "size of the upsampled features, with the whole photo as one square window (default: the window's)"
    shape.add_argument("--size", type=parse_size, metavar="N|HxW", help=text)
    text = "short side of the photo in pixels, cut into overlapping windows; keeps proportions"
    shape.add_argument("--windows", type=int, metavar="N", help=text)
    add = parser.add_argument_group("output").add_argument
    text = "features, a picture of them, or a folder for both of each photo"
    add("--output", required=True, type=Path, metavar="F.npz|F.png|FOLDER", help=text)
    add("--dtype", choices=("float16", "float32"), default="float16", help="of features in .npz (%(default)s)")
    add_device(parser.add_argument_group("devices"))


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of "224" or "480x640"."""
    numbers = text.lower().split("x")
    if not 1 <= len(numbers) <= 2 or not all(n.isascii() and n.isdigit() and 1 <= int(n) <= 1 << 14 for n in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: expected 224, or 480x640 for height and width")
    return int(numbers[0]), int(numbers[-1])


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask features`; gives the exit status."""
    from wordmask.errors import PhotoError
    from wordmask.featurizer import GRAPHS, Featurizer
    from wordmask.run.find_photos import find_photos, load_unchanged, refuse_replacing

    for name in ("windows", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}: it must be at least 1")
    jobs = find_photos(args.photos, recursive=args.recursive, apart_from=args.output)
    one_file = is_one_file(args.output)
    if one_file and len(jobs) > 1:
        raise ValueError(f"--output is {args.output}, one file, for {len(jobs)} photos: name a folder")
    places = [place for job in jobs for place in _places(args.output, job, one_file=one_file)]
    refuse_replacing([os.path.realpath(job.file) for job in jobs], [os.path.realpath(place) for place in places])
    bundle = open_chosen(args)
    featurizer = Featurizer(bundle, device=named_device(args.device, bundle, GRAPHS), threads=args.threads)
    done, reading = 0, read_options(args)
    for job in jobs:
        try:
            photo = load_unchanged(job, reading)
        except PhotoError as error:
            print(printable(f"{error.code}: {error}"), file=sys.stderr)
            continue
        for note in photo.notes:
            print(printable(f"{job.path}: {note}"), file=sys.stderr)
        _write(args.output, job, _features(featurizer, photo.pixels, args), one_file=one_file)
        done += 1
    print(printable(f"{done} of {len(jobs)} photos: {args.output}"), flush=True)
    return OK if done == len(jobs) else SOME_PHOTOS_FAILED


def is_one_file(output: Path) -> bool:
    """Whether --output names a file, not a folder.

    Raises:
        ValueError: its suffix is another file's.
    """
    if output.is_dir() or not output.suffix:
        return False
    if output.suffix.lower() not in SUFFIXES:
        advice = "expected a name that ends in .npz or .png, or a folder (a new one without a suffix)"
        raise ValueError(f"--output is {str(output)!r}: {advice}")
    return True


def open_chosen(args: argparse.Namespace) -> AnyBundle:
    """The bundle of --bundle or --backbone.

    Raises:
        BundleError: there is none, or it is of another backbone.
    """
    from wordmask.bundle.manifest import FeaturesManifest
    from wordmask.bundle.opening import open_any_bundle
    from wordmask.bundle.search import find_bundle
    from wordmask.errors import BundleError

    wanted = args.backbone
    name = args.bundle if wanted in (None, "clip") else wanted
    try:
        folder = find_bundle(name)
    except BundleError as error:
        if name != wanted:
            raise
        advice = f"`wordmask build models_cache/{wanted} --backbone {wanted}` makes it, --bundle takes a folder"
        raise BundleError(f"there is no bundle named {wanted}: {advice}") from error
    bundle = open_any_bundle(folder)
    manifest = bundle.manifest
    found = manifest.backbone.name if isinstance(manifest, FeaturesManifest) else "clip"
    if wanted not in (None, found):
        raise BundleError(f"{folder} is a bundle of {found}, not of {wanted}: name one with --bundle")
    return bundle


def _features(featurizer: Featurizer, photo: NDArray[np.uint8], args: argparse.Namespace) -> FeatureMaps:
    if args.windows is not None:
        return featurizer.in_windows(photo, args.windows, dtype=args.dtype)
    return featurizer(photo, size=args.size, dtype=args.dtype)


def _write(output: Path, job: Job, maps: FeatureMaps, *, one_file: bool) -> None:
    """Writes the features, their picture, or in a folder both."""
    from wordmask.system.files import write_files

    places = _places(output, job, one_file=one_file)
    write_files({place: [_npz(maps) if place.suffix.lower() == ".npz" else _png(maps)] for place in places})


def _places(output: Path, job: Job, *, one_file: bool) -> list[Path]:
    return [output] if one_file else [output / f"{job.name}{suffix}" for suffix in SUFFIXES]


def _npz(maps: FeatureMaps) -> bytes:
    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, features=maps.high, low_resolution=maps.low, photo=maps.photo)
    return stream.getvalue()


def _png(maps: FeatureMaps) -> bytes:
    from wordmask.formats.feature_picture import side_by_side
    from wordmask.formats.pictures import png

    return png(side_by_side(maps.photo, maps.low, maps.high))
