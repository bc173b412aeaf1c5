"""The `wordmask` command. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordmask.errors import OutputError, VocabularyError, WordmaskError
from wordmask.supervisor import GRACE, Interrupted, catch_signals, is_successor, is_worker, obey, supervise

if TYPE_CHECKING:
    from wordmask.photos import Job
    from wordmask.pipeline import Queries, Segmenter
    from wordmask.summary import Totals
    from wordmask.types import Options

OK, FAILED, USAGE, SOME_PHOTOS_FAILED, CANNOT_WRITE = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status.

    Args:
        arguments: without the program's name. None takes the process's own, and then `run` happens in a process that
            this one watches (see supervisor).
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    catch_signals()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a photo's damaged metadata can bring one a tag
    try:
        watched = arguments is None and args.command is run and not is_worker()
        status: int = supervise(sys.argv[1:], args.output) if watched else args.command(args)
    except Interrupted as interruption:
        print(f"wordmask: interrupted by {interruption}", file=sys.stderr)
        status = interruption.status
    except OutputError as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    except (WordmaskError, FileNotFoundError, ValueError) as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = USAGE
    except OSError as error:  # the terminal or pipe is gone, or the disk behind it full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it once more when it exits
        with contextlib.suppress(OSError):
            print(f"wordmask: cannot write: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="wordmask", description="Words in, masks out.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_run(commands.add_parser("run", help="segment photos with a list of words"))
    build = commands.add_parser("build", help="make a bundle of ONNX graphs from checkpoints")
    evaluation = commands.add_parser("eval", help="measure a bundle's quality on labelled pictures")
    bench = commands.add_parser("bench", help="measure speed and memory against PyTorch eager")
    engines = commands.add_parser("engines", help="build a bundle's TensorRT engines for this machine's GPU")
    inspection = commands.add_parser("inspect", help="show a bundle's graphs and TensorRT engines")
    doctor = commands.add_parser("doctor", help="look whether all that a run needs is here and works")
    from wordmask.inspect import add_inspect_arguments, run_inspect
    from wordmask_bench.bench_cli import add_bench_arguments
    from wordmask_bench.cli import add_eval_arguments, run_eval
    from wordmask_export.cli import add_build_arguments, add_engines_arguments

    add_build_arguments(build)
    build.set_defaults(command=run_build)
    add_engines_arguments(engines)
    engines.set_defaults(command=run_engines)
    add_inspect_arguments(inspection)
    inspection.set_defaults(command=run_inspect)
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=run_doctor)
    add_eval_arguments(evaluation)
    evaluation.set_defaults(command=run_eval)
    add_bench_arguments(bench)
    bench.set_defaults(command=run_bench)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask run`."""
    parser.set_defaults(command=run)
    add = parser.add_argument
    add("photos", nargs="+", type=Path, metavar="PHOTO_OR_FOLDER")
    add(
        "--vocabulary",
        nargs="+",
        required=True,
        metavar="WORD",
        help="words, or @FILE with one class a line; commas separate synonyms",
    )
    add("--output", required=True, type=Path, metavar="OUT", help="folder for the results")
    add(
        "--bundle", metavar="NAME_OR_PATH", help="the models (default: the bundle named default, else the shipped tiny)"
    )
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
    add("--points-per-region", type=int, default=1, help="positive points a region (%(default)s)")
    add("--negative-points", type=int, default=0, help="points on other classes a region (%(default)s)")
    add("--negative-min-confidence", type=float, default=0.8, help="confidence of their pixels (%(default)s)")
    add("--boxes", action="store_true", help="prompt with each region's box too")
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
    add("--lenient", action="store_true", help="take garbled JPEGs as far as they can be decoded, with a warning")
    add("--recursive", action="store_true", help="descend into folders")
    add("--in-flight", type=int, default=2, metavar="N", help="photos under way at once (%(default)s)")
    add("--restart", action="store_true", help="clear an earlier run's results in OUT instead of continuing it")
    add("--retry-quarantined", action="store_true", help="try photos again that ended the process twice")


def run(args: argparse.Namespace) -> int:
    """`wordmask run`."""
    stop = threading.Event()
    if is_worker():
        obey(stop)
    with ThreadPoolExecutor(1, "run") as pool:  # off the main thread, so that signals are answered at any moment
        working = pool.submit(_run, args, stop)
        try:
            return working.result()
        except Interrupted as interruption:
            stop.set()
            if not wait([working], GRACE).done:
                print(f"wordmask: interrupted by {interruption}", file=sys.stderr, flush=True)
                os._exit(interruption.status)
            raise


def _run(args: argparse.Namespace, stop: threading.Event) -> int:
    from wordmask.folder import StoppedError
    from wordmask.photos import find_photos
    from wordmask.pipeline import Segmenter
    from wordmask.types import Options, Vocabulary

    options = Options(**{name: getattr(args, name) for name in Options.__dataclass_fields__})
    vocabulary = Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background))
    jobs = find_photos(args.photos, recursive=args.recursive, apart_from=args.output)
    segmenter = Segmenter(
        args.bundle,
        device=args.device,
        upsampler_device=args.upsampler_device,
        threads=args.threads,
        tensorrt_precision=args.tensorrt_precision,
    )
    segmenter.uses_loftup(options)
    domain = segmenter.manifest.domain
    if domain != "photos":
        print(f"WARNING: {DOMAINS[domain]}", file=sys.stderr)
    try:
        totals = _run_folder(segmenter, jobs, segmenter.embed(vocabulary), options, args, stop)
    except StoppedError:
        return FAILED  # whoever stopped it knows better
    done, masks = totals.statuses["ok"], totals.instances
    print(printable(f"{done} of {len(jobs)} photos, {masks} masks: {args.output}"), flush=True)
    if totals.statuses["INTERNAL"]:
        return FAILED
    return OK if done == len(jobs) else SOME_PHOTOS_FAILED


DOMAINS = {
    "random": "this bundle has random weights: its masks mean nothing",
    "synthetic": "this bundle knows only synthetic scenes: on real photos its masks mean little",
}


def _run_folder(
    segmenter: Segmenter,
    jobs: list[Job],
    queries: Queries,
    options: Options,
    args: argparse.Namespace,
    stop: threading.Event,
) -> Totals:
    from tqdm import tqdm

    from wordmask.folder import run_folder
    from wordmask.photo_work import Writing

    bar = tqdm(total=len(jobs), unit="photo", disable=not sys.stderr.isatty())

    def progress(done: int) -> None:
        bar.update(done - bar.n)
        if bar.disable:
            print(f"{done}/{len(jobs)}", file=sys.stderr, flush=True)

    def tell(text: str) -> None:
        tqdm.write(printable(text), file=sys.stderr)

    with bar:
        return run_folder(
            segmenter,
            jobs,
            queries,
            options,
            args.output,
            writing=Writing(overlay=args.overlay, save_dense=args.save_dense),
            lenient=args.lenient,
            settings=run_settings(args, queries),
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
        "photos": [str(path) for path in args.photos],
        "vocabulary": [list(synonyms) for synonyms in queries.vocabulary.classes],
        "background": list(queries.vocabulary.background),
        "device": args.device,
        "upsampler_device": args.upsampler_device or args.device,
        "tensorrt_precision": args.tensorrt_precision,
        "threads": args.threads,
        "in_flight": args.in_flight,
    }


def class_lines(arguments: Sequence[str]) -> list[str]:
    """Class lines of --vocabulary: words as given, @FILE replaced by its lines."""
    from wordmask.words import read_class_lines

    lines: list[str] = []
    for argument in arguments:
        lines += read_class_lines(Path(argument[1:])) if argument.startswith("@") else [argument]
    return lines


def background_words(choice: str) -> list[str]:
    """The words of --background."""
    from wordmask.words import default_background, read_class_lines

    if choice == "default":
        return list(default_background())
    if choice == "none":
        return []
    if choice.startswith("@"):
        return [word for line in read_class_lines(Path(choice[1:])) for word in line.split(",")]
    raise VocabularyError(f"--background is {choice!r}, expected default, none or @FILE")


def printable(text: str) -> str:
    """Control characters escaped: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def run_build(args: argparse.Namespace) -> int:
    """`wordmask build`."""
    from wordmask import extras

    extras.need("wordmask build", "export", extras.BUILD)
    if args.tensorrt:
        extras.need("wordmask build --tensorrt", "trt", extras.ENGINES)
    from wordmask_export import cli

    status: int = cli.run_build(args)
    return status


def run_engines(args: argparse.Namespace) -> int:
    """`wordmask engines`."""
    from wordmask import extras
    from wordmask.bundle import find_bundle

    args.bundle = find_bundle(args.bundle)
    compares = args.debug is not None or args.compare
    extras.need("wordmask engines", "trt", extras.ENGINES + (extras.POLYGRAPHY if compares else ()))
    from wordmask_export import cli

    status: int = cli.run_engines(args)
    return status


def run_bench(args: argparse.Namespace) -> int:
    """`wordmask bench`."""
    from wordmask import extras

    extras.need("wordmask bench", "export", extras.BUILD)
    from wordmask_bench import bench_cli

    status: int = bench_cli.run_bench(args)
    return status


def run_doctor(args: argparse.Namespace) -> int:
    """`wordmask doctor`."""
    from wordmask import doctor

    return doctor.run(as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
