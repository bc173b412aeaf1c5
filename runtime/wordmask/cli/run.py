"""`wordmask run`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordmask.cli.arguments import (
    add_background,
    add_bundle,
    add_device,
    add_options,
    add_reading,
    add_tensorrt_precision,
    add_vocabulary,
    read_options,
)
from wordmask.cli.device import open_for_device
from wordmask.cli.exit_status import FAILED, OK, SOME_PHOTOS_FAILED
from wordmask.cli.progress import Progress, summary
from wordmask.cli.run_on_ray import RAY_SHUTDOWN_TIMEOUT, add_ray_arguments, check_ray_arguments, prepare_on_ray
from wordmask.cli.run_one_picture import check_one_picture, one_picture, run_picture
from wordmask.formats.terminal import printable
from wordmask.options import OPTIONS, REUSE_MAY_DIFFER
from wordmask.outputs.layout import REPORT
from wordmask.photo.url import parse_place
from wordmask.run.supervisor import SHUTDOWN_TIMEOUT, Interrupted, is_restarted_worker, is_worker, listen_to_supervisor
from wordmask.text.word_lists import background_words, class_lines

if TYPE_CHECKING:
    from wordmask.bundle.opening import PipelineBundle
    from wordmask.outputs.run_record import RunRecord
    from wordmask.photo.job import Job
    from wordmask.pipeline import Segmenter
    from wordmask.run.request import RunControl, RunRequest
    from wordmask.text.queries import Queries
    from wordmask.types import Options

KEEP = (
    "keep each photo's class map and SAM2 encoding in OUT/intermediate, for --reuse: about 14 MB a photo (tiny: 2 MB), "
    "and 3 bytes a pixel"
)
_FREE = ", ".join("--" + name.replace("_", "-") for name in REUSE_MAY_DIFFER)
REUSE = (
    "replace an earlier run's results in OUT, from the class maps and encodings that it kept; where more has changed "
    f"than {_FREE}, they are computed anew, and kept"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask run`."""
    _add_input(parser.add_argument_group("input"))
    models, prompts = parser.add_argument_group("models and class map"), parser.add_argument_group("prompts and masks")
    bundle = models.add_mutually_exclusive_group()
    add_bundle(bundle)
    text = "a SAM2 checkpoint: built into a bundle at its first use, which is kept"
    bundle.add_argument("--checkpoint", type=Path, metavar="FILE", help=text)
    text = "the checkpoint's SAM2 configuration (default: by its file name)"
    models.add_argument("--model-cfg", metavar="NAME_OR_FILE", help=text)
    for name, (_, info) in OPTIONS.items():
        add_options(models if info.class_map else prompts, name)
    _add_outputs(parser.add_argument_group("outputs"))
    _add_devices(parser.add_argument_group("devices"))
    resuming = parser.add_argument_group("resuming")
    add = resuming.add_argument
    afresh = resuming.add_mutually_exclusive_group()
    text = "remove an earlier run's results in OUT instead of continuing it"
    afresh.add_argument("--restart", action="store_true", help=text)
    afresh.add_argument("--reuse", action="store_true", help=REUSE)
    add("--keep-intermediate", action="store_true", help=KEEP)
    add("--retry-quarantined", action="store_true", help="process photos again that crashed the process twice")
    add_ray_arguments(parser)


def _add_input(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("photos", nargs="*", type=parse_place, metavar="PHOTO_OR_FOLDER", help="photos, and folders of photos")
    add("--image", action="append", type=parse_place, default=[], metavar="PHOTO", help="the same, as an option")
    text = "words to find, or @FILE with one class per line (@F.json, @F.csv:COLUMN); commas separate synonyms"
    add_vocabulary(group, text)
    add_background(group)
    add("--recursive", action="store_true", help="search folders recursively")
    add_reading(group)


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    text = "folder for the results; or a name ending in .png or .jpg, for one photo with its masks drawn on it"
    add("--output", required=True, type=parse_place, metavar="OUT", help=text)
    add("--overlay", action="store_true", help="also write each photo with its masks drawn on it")
    add("--save-dense", action="store_true", help="also write the class map before SAM2, and its probabilities")
    add("--report", action="store_true", help="also write report.html, which shows the results in a browser")


def _add_devices(group: argparse._ArgumentGroup) -> None:
    add_device(group, upsampler=True)
    add_tensorrt_precision(group)
    text = "photos processed at the same time (default: 2; 4 on a GPU)"
    group.add_argument("--in-flight", type=int, metavar="N", help=text)


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask run`; gives the exit status."""
    check_ray_arguments(args)
    stop = threading.Event()
    if is_worker():
        listen_to_supervisor(stop)
    with ThreadPoolExecutor(1, "run") as pool:  # not the main thread, which handles signals
        working = pool.submit(_run, args, stop)
        try:
            return working.result()
        except Interrupted as interruption:
            stop.set()
            ended = wait([working], SHUTDOWN_TIMEOUT if args.ray is None else RAY_SHUTDOWN_TIMEOUT).done
            if not ended or args.ray is not None:  # leaving a cluster in order takes seconds
                print(f"wordmask: interrupted by {interruption}", file=sys.stderr, flush=True)
                os._exit(interruption.status)
            raise


def _run(args: argparse.Namespace, stop: threading.Event) -> int:
    from wordmask.loading import check_options
    from wordmask.run.execution import StoppedError
    from wordmask.run.local import default_in_flight, run_folder
    from wordmask.text.vocabulary import Vocabulary
    from wordmask.types import Options

    options = Options(**{name: getattr(args, name) for name in OPTIONS})
    vocabulary = Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background))
    jobs = _jobs(args)
    bundle = _bundle(args)
    if args.ray is not None:
        queries, segment = prepare_on_ray(args, bundle, options, vocabulary)
    else:
        segmenter = _segmenter(args, open_for_device(args, bundle))
        check_options(segmenter.bundle, options)
        queries, segment = segmenter.embed(vocabulary), partial(run_folder, segmenter)
        if one_picture(args):
            return run_picture(segmenter, jobs[0], queries, options, args)
    if args.in_flight is None:
        args.in_flight = default_in_flight(args.device)
    try:
        record = _with_progress(segment, _request(args, jobs, queries, options), stop)
    except StoppedError:
        return FAILED  # the supervisor sets the exit status
    print(summary(record, len(jobs), str(args.output)), flush=True)
    if args.report:
        print(printable(f"to look at: {args.output / REPORT}"), flush=True)
    if "INTERNAL" in record.totals.statuses:
        return FAILED
    return OK if record.totals.done == len(jobs) else SOME_PHOTOS_FAILED


def _segmenter(args: argparse.Namespace, bundle: PipelineBundle) -> Segmenter:
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
    from wordmask.run.find_photos import find_photos, refuse_folders_of_photos

    paths = [*args.photos, *args.image]
    if not paths:
        raise ValueError("no photo is named: give photos or folders, before --vocabulary, or --image PHOTO")
    refuse_folders_of_photos(args.output, paths)
    jobs = find_photos(paths, recursive=args.recursive, apart_from=args.output)
    if one_picture(args):
        check_one_picture(args, len(jobs))
    return jobs


def _bundle(args: argparse.Namespace) -> str | Path | None:
    """The bundle of --bundle, or the one made from --checkpoint."""
    if args.checkpoint is None:
        if args.model_cfg is not None:
            raise ValueError("--model-cfg describes a checkpoint: give --checkpoint FILE, too")
        name: str | None = args.bundle
        return name
    from wordmask.compat.checkpoint_bundle import bundle_of_checkpoint

    return bundle_of_checkpoint(args.checkpoint, args.model_cfg)


def _request(args: argparse.Namespace, jobs: list[Job], queries: Queries, options: Options) -> RunRequest:
    from wordmask.run.request import OutputOptions, RunRequest

    return RunRequest(
        jobs,
        queries,
        args.output,
        options,
        OutputOptions(overlay=args.overlay, save_dense=args.save_dense, report=args.report),
        reading=read_options(args),
        in_flight=args.in_flight,
        restart=args.restart and not is_restarted_worker(),
        keep_intermediate=args.keep_intermediate,
        reuse=args.reuse,
        retry_quarantined=args.retry_quarantined and not is_restarted_worker(),
        settings=run_settings(args, queries),
    )


def _with_progress(
    segment: Callable[[RunRequest, RunControl], RunRecord], request: RunRequest, stop: threading.Event
) -> RunRecord:
    from wordmask.run.request import RunControl

    with Progress(len(request.jobs)) as progress:
        return segment(request, RunControl(stop, progress.log, progress.update))


def run_settings(args: argparse.Namespace, queries: Queries) -> dict[str, Any]:
    """What run.json records of the command line beside the options."""
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
