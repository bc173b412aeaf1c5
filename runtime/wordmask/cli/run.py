"""`wordmask run`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordmask.bundle.domains import DOMAINS
from wordmask.cli.exit_status import FAILED, OK, SOME_PHOTOS_FAILED
from wordmask.cli.run_on_ray import RAY_GRACE, add_ray_arguments, check_ray_arguments, ray_head, run_ray
from wordmask.cli.run_one_picture import check_one_picture, one_picture, run_picture
from wordmask.outputs.layout import REPORT
from wordmask.photo.url import parse_place
from wordmask.run.supervisor import GRACE, Interrupted, is_successor, is_worker, obey
from wordmask.terminal import printable
from wordmask.text.word_lists import background_words, class_lines

if TYPE_CHECKING:
    from wordmask.outputs.summary import Totals
    from wordmask.photo.job import Job
    from wordmask.pipeline import Segmenter
    from wordmask.text.queries import Queries
    from wordmask.types import Options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask run`."""
    add = parser.add_argument
    add("photos", nargs="*", type=parse_place, metavar="PHOTO_OR_FOLDER")
    add("--image", action="append", type=parse_place, default=[], metavar="PHOTO", help="the same, as an option")
    add(
        "--vocabulary",
        nargs="+",
        required=True,
        metavar="WORD",
        help="words, or @FILE with one class a line; commas separate synonyms",
    )
    add(
        "--output",
        required=True,
        type=parse_place,
        metavar="OUT",
        help="folder for the results; a name ending in .png takes one photo's masks drawn on it",
    )
    models = parser.add_mutually_exclusive_group()
    models.add_argument(
        "--bundle", metavar="NAME_OR_PATH", help="the models (default: the bundle named default, else the shipped tiny)"
    )
    models.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="a SAM2 checkpoint: built into a bundle once, which is kept"
    )
    add("--model-cfg", metavar="NAME_OR_FILE", help="the checkpoint's SAM2 configuration (default: by its name)")
    loftup = parser.add_mutually_exclusive_group()
    loftup.add_argument("--use-loftup", action="store_true", default=None, help="fail if the bundle has no LoftUp")
    loftup.add_argument("--no-loftup", action="store_false", dest="use_loftup", help="upsample bilinearly")
    add(
        "--upsample",
        choices=("full", "selective"),
        help="LoftUp at every pixel, or only where the bilinear map is undecided (default: selective; full on a GPU)",
    )
    add(
        "--upsample-scope",
        choices=("window", "image"),
        default="window",
        help="LoftUp on every window, or once on the whole photo (%(default)s)",
    )
    add("--min-confidence", type=float, default=0.7, help="a region's pixels are more probable than this (%(default)s)")
    add("--min-region-size", type=int, default=100, help="least pixels of a region (%(default)s)")
    add("--iou-threshold", type=float, default=0.8, help="masks of a class that overlap more are one (%(default)s)")
    add(
        *("--points-per-region", "--points-per-cluster"),
        type=int,
        default=1,
        metavar="N",
        help="positive points a region (%(default)s)",
    )
    add(
        *("--negative-points", "--negative-points-per-cluster"),
        type=int,
        default=0,
        metavar="N",
        help="points on other classes a region (%(default)s)",
    )
    add(
        *("--negative-min-confidence", "--negative-confidence-threshold"),
        type=float,
        default=0.8,
        metavar="P",
        help="confidence of their pixels (%(default)s)",
    )
    add("--boxes", action="store_true", help="prompt with each region's box too")
    add("--pamr", action="store_true", help="refine the class map by the photo's colours (SCLIP's PAMR); slow")
    add("--background", default="default", metavar="default|none|@FILE", help="words that take pixels unseen")
    add(
        "--device", default="cpu", help="cpu, openvino[:bf16], cuda[:N], tensorrt[:N] or tensorrt-rtx[:N] (%(default)s)"
    )
    add("--upsampler-device", metavar="DEVICE", help="for LoftUp alone, when memory is short")
    add(
        "--tensorrt-precision",
        choices=("fp16", "bf16", "fp32"),
        default="fp16",
        help="of the engines that --device tensorrt takes (%(default)s)",
    )
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--overlay", action="store_true", help="also draw the masks on the photos")
    add("--save-dense", action="store_true", help="also write the class map before SAM2 and its confidence")
    add("--report", action="store_true", help="also write report.html, to look at the results in a browser")
    add("--lenient", action="store_true", help="take garbled JPEGs as far as they can be decoded, with a warning")
    add("--recursive", action="store_true", help="descend into folders")
    add("--in-flight", type=int, metavar="N", help="photos under way at once (default: 2; 4 on a GPU)")
    add("--restart", action="store_true", help="clear an earlier run's results in OUT instead of continuing it")
    add("--retry-quarantined", action="store_true", help="try photos again that ended the process twice")
    add_ray_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask run`; gives the exit status."""
    check_ray_arguments(args)
    stop = threading.Event()
    if is_worker():
        obey(stop)
    with ThreadPoolExecutor(1, "run") as pool:  # off the main thread, so that signals are answered at any moment
        working = pool.submit(_run, args, stop)
        try:
            return working.result()
        except Interrupted as interruption:
            stop.set()
            ended = wait([working], GRACE if args.ray is None else RAY_GRACE).done
            if not ended or args.ray is not None:  # leaving a cluster in order takes seconds
                print(f"wordmask: interrupted by {interruption}", file=sys.stderr, flush=True)
                os._exit(interruption.status)
            raise


def _run(args: argparse.Namespace, stop: threading.Event) -> int:
    from wordmask.run.execution import StoppedError
    from wordmask.run.local import default_in_flight
    from wordmask.types import Options, Vocabulary

    if args.in_flight is None:
        args.in_flight = default_in_flight(args.device)
    options = Options(**{name: getattr(args, name) for name in Options.__dataclass_fields__})
    vocabulary = Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background))
    jobs = _jobs(args)
    bundle = _bundle(args)
    segmenter = ray_head(args, bundle) if args.ray is not None else _segmenter(args, bundle)
    segmenter.uses_loftup(options)
    domain = segmenter.manifest.domain
    if domain != "photos":
        print(f"WARNING: {DOMAINS[domain]}", file=sys.stderr)
    if one_picture(args):
        return run_picture(segmenter, jobs[0], segmenter.embed(vocabulary), options, args)
    try:
        totals = _run_folder(segmenter, jobs, segmenter.embed(vocabulary), options, args, stop)
    except StoppedError:
        return FAILED  # whoever stopped it knows better
    done, masks = totals.statuses["ok"], totals.instances
    print(printable(f"{done} of {len(jobs)} photos, {masks} masks: {args.output}"), flush=True)
    if args.report:
        print(printable(f"to look at: {args.output / REPORT}"), flush=True)
    if totals.statuses["INTERNAL"]:
        return FAILED
    return OK if done == len(jobs) else SOME_PHOTOS_FAILED


def _segmenter(args: argparse.Namespace, bundle: str | Path | None) -> Segmenter:
    from wordmask.pipeline import Segmenter

    return Segmenter(
        bundle,
        device=args.device,
        upsampler_device=args.upsampler_device,
        threads=args.threads,
        tensorrt_precision=args.tensorrt_precision,
    )


def _jobs(args: argparse.Namespace) -> list[Job]:
    """The photos of the command line."""
    from wordmask.run.find_photos import find_photos

    paths = [*args.photos, *args.image]
    if not paths:
        raise ValueError("no photo is named: give photos or folders, before --vocabulary, or --image PHOTO")
    jobs = find_photos(paths, recursive=args.recursive, apart_from=args.output)
    if one_picture(args):
        check_one_picture(args, len(jobs))
    return jobs


def _bundle(args: argparse.Namespace) -> str | Path | None:
    """The bundle that is named, or that of the checkpoint that is."""
    if args.checkpoint is None:
        if args.model_cfg is not None:
            raise ValueError("--model-cfg says what a checkpoint is: name that too, as --checkpoint FILE")
        name: str | None = args.bundle
        return name
    from wordmask.compat.checkpoint_bundle import bundle_of_checkpoint

    return bundle_of_checkpoint(args.checkpoint, args.model_cfg)


def _run_folder(
    segmenter: Segmenter,
    jobs: list[Job],
    queries: Queries,
    options: Options,
    args: argparse.Namespace,
    stop: threading.Event,
) -> Totals:
    from tqdm import tqdm

    from wordmask.run.local import run_folder
    from wordmask.run.photo_work import Writing

    bar = tqdm(total=len(jobs), unit="photo", disable=not sys.stderr.isatty())

    def progress(done: int) -> None:
        bar.update(done - bar.n)
        if bar.disable:
            print(f"{done}/{len(jobs)}", file=sys.stderr, flush=True)

    def tell(text: str) -> None:
        tqdm.write(printable(text), file=sys.stderr)

    writing = Writing(overlay=args.overlay, save_dense=args.save_dense, report=args.report)
    settings = run_settings(args, queries)
    with bar:
        if args.ray is not None:
            return run_ray(
                segmenter,
                jobs,
                queries,
                options,
                args,
                writing=writing,
                settings=settings,
                stop=stop,
                tell=tell,
                progress=progress,
            )
        return run_folder(
            segmenter,
            jobs,
            queries,
            options,
            args.output,
            writing=writing,
            lenient=args.lenient,
            settings=settings,
            restart=args.restart and not is_successor(),
            retry_quarantined=args.retry_quarantined and not is_successor(),
            in_flight=args.in_flight,
            stop=stop,
            tell=tell,
            progress=progress,
        )


def run_settings(args: argparse.Namespace, queries: Queries) -> dict[str, Any]:
    """What run.json notes of the command line beside the options."""
    return {
        "photos": [str(path) for path in (*args.photos, *args.image)],
        "vocabulary": [list(synonyms) for synonyms in queries.vocabulary.classes],
        "background": list(queries.vocabulary.background),
        "device": args.device,
        "upsampler_device": args.upsampler_device or args.device,
        "tensorrt_precision": args.tensorrt_precision,
        "threads": args.threads,
        "in_flight": args.in_flight,
    }
