"""`wordmask bench`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.bundle import Bundle
    from wordmask.types import Options
    from wordmask_bench.bench import Findings, Plan
    from wordmask_bench.bench_report import Report
    from wordmask_bench.bench_side import Setup

BASELINES = ("eager", "batched", "autocast", "compile")
PHOTO_WORDS = ("person", "cat", "cup", "car", "wheel", "window", "rocket", "table")
MODEL_FILES = ("clip", "sam2", "clip_weights", "loftup_weights", "sam2_weights")
FEWEST_FOR_A_RATE = 1


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask bench`."""
    add = parser.add_argument
    add("--bundle", metavar="NAME_OR_PATH", help="the models, which PyTorch loads from where they were built from")
    add("--images", required=True, type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    add("--vocabulary", nargs="+", default=list(PHOTO_WORDS), metavar="WORD", help="as run (default: some everyday words)")
    add("--background", default="default", metavar="default|none|@FILE", help="as run (%(default)s)")
    add("--device", nargs="+", default=["cpu"], metavar="DEVICE", help="one or several, as run (%(default)s)")
    add("--upsampler-device", metavar="DEVICE", help="as run")
    add("--tensorrt-precision", choices=("fp16", "bf16", "fp32"), default="fp16", help="as run (%(default)s)")
    add("--baselines", nargs="+", choices=BASELINES, default=["eager"], help="forms of the PyTorch chain (%(default)s)")
    add("--options", nargs="+", default=[], metavar="NAME=VALUE", help="of wordmask.Options, such as min_confidence=0.5")
    add("--windows", nargs="+", choices=("one", "default"), default=["one", "default"],
        help="photos as one window, and as the bundle's protocol cuts them (both)")  # fmt: skip
    add("--prompts", type=int, default=32, help="points the decoder is given (%(default)s)")
    add("--batch", nargs="+", type=int, default=[1, 8], metavar="N", help="windows in a batch, of stages (1 8)")
    add("--no-stages", action="store_true", help="whole photos alone")
    add("--limit", type=int, default=1, metavar="N", help="photos timed one by one; throughput takes all (%(default)s)")
    add("--threads", type=int, help="cores each side may use (default: all)")
    add("--warm-up", type=float, default=0.2, metavar="SECONDS", help="of each side before what counts (%(default)s)")
    add("--runs", type=int, default=10, help="of each side, at least (%(default)s)")
    add("--seconds", type=float, default=3.0, help="of each side, at least (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="also write all figures here")
    add("--report", type=Path, metavar="FILE.html", help="also draw them here")
    add("--clip", metavar="FILE.json", help="the bundle's --clip if that was a file; likewise:")
    for name in MODEL_FILES[1:]:
        add(f"--{name.replace('_', '-')}", metavar="FILE")


def run_bench(args: argparse.Namespace) -> int:
    """Runs `wordmask bench`; gives the exit status."""
    from wordmask.bundle import open_bundle
    from wordmask_bench.bench import run
    from wordmask_bench.bench_html import page
    from wordmask_bench.bench_report import table

    for path in filter(None, (args.json, args.report)):
        with path.open("a"):  # that it cannot be written is better known before the work than after
            pass
    bundle = open_bundle(args.bundle)
    plan = make_plan(args, bundle)
    report = make_report(plan, run(plan, lambda text: print(text, file=sys.stderr, flush=True)))
    print(table(report))
    if args.json:
        args.json.write_text(report.to_json(), encoding="utf-8")
    if args.report:
        args.report.write_text(page(report), encoding="utf-8")
    return 0


def make_plan(args: argparse.Namespace, bundle: Bundle) -> Plan:
    """What the command line asks for.

    Raises:
        ValueError: a number that cannot be; devices that cannot be compared with one baseline.
    """
    from wordmask.folder import find_photos
    from wordmask_bench.bench import Plan
    from wordmask_bench.timing import Effort

    for name in ("prompts", "limit", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}: give at least 1")
    if min(args.batch) < 1:
        raise ValueError(f"--batch is {args.batch}: give numbers of windows, at least 1")
    photos = tuple(job.path.resolve() for job in find_photos(args.images))
    options = parse_options(args.options)
    stages = ("clip", "loftup", "class_map", "prompts", "sam2_encoder", "sam2_decoder", "masks", "words")
    loftup = bundle.manifest.loftup is not None and options.use_loftup is not False
    sides = make_sides(args, bundle, options)
    half = {precision_of(setup, bundle.manifest.precision) for setup in sides.values()} - {"fp32"}
    return Plan(
        sides=sides,
        bundle=bundle,
        photos=photos,
        limit=min(args.limit, len(photos)),
        windows=tuple(dict.fromkeys(args.windows)),
        stages=() if args.no_stages else tuple(s for s in stages if loftup or s != "loftup"),
        batches=tuple(dict.fromkeys(args.batch)),
        precisions=("fp32", *sorted(half)),
        effort=Effort(args.warm_up, args.runs, args.seconds),
    )


def make_sides(args: argparse.Namespace, bundle: Bundle, options: Options) -> dict[str, Setup]:
    """The contenders by name, wordmask's first."""
    from wordmask.cli import background_words, class_lines
    from wordmask.types import Vocabulary
    from wordmask_bench.bench_machine import available_cores
    from wordmask_bench.bench_side import ModelFiles, Setup

    torch_device = baseline_device(args.device)

    def setup(variant: Any, device: str) -> Setup:
        return Setup(
            variant=variant,
            bundle=str(bundle.folder.resolve()),
            device=device,
            threads=args.threads or available_cores(),
            vocabulary=Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background)),
            options=options,
            grid=args.prompts if bundle.manifest.domain == "random" else None,
            points=args.prompts,
            models=ModelFiles(**{name: getattr(args, name) for name in MODEL_FILES}),
            upsampler_device=args.upsampler_device,
            tensorrt_precision=args.tensorrt_precision,
        )

    engines = {f"wordmask {device}": setup("wordmask", device) for device in args.device}
    return engines | {name: setup(name, torch_device) for name in args.baselines}


def baseline_device(devices: Sequence[str]) -> str:
    """Where PyTorch runs: on the GPU that wordmask's devices name, or on the CPU.

    Raises:
        ValueError: they name several places.
    """
    places = set()
    for device in devices:
        kind, _, index = device.partition(":")
        places.add(f"cuda:{index or 0}" if kind in ("cuda", "tensorrt", "tensorrt-rtx") else "cpu")
    if len(places) > 1:
        raise ValueError(f"--device is {' '.join(devices)}: they run on {', '.join(sorted(places))}; bench one at a time")
    return places.pop()


def precision_of(setup: Setup, weights: str) -> str:
    """What a side computes in: fp32, fp16 or bf16.

    Args:
        setup: of the side.
        weights: precision of the bundle's graphs.
    """
    if setup.variant == "autocast":
        return "bf16" if setup.device == "cpu" else "fp16"
    if setup.variant != "wordmask":
        return "fp32"
    if setup.device.startswith("tensorrt:") or setup.device == "tensorrt":
        return setup.tensorrt_precision
    named = [name for name in ("bf16", "fp16") if name in setup.device.split(":")]
    return named[0] if named else weights


def parse_options(texts: Sequence[str]) -> Options:
    """Options from NAME=VALUE; a value is JSON, or else a word.

    Raises:
        ValueError: unknown name, or a value of another kind.
    """
    import json

    from wordmask.errors import ManifestError
    from wordmask.strict import parse_as
    from wordmask.types import Options

    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--options has {text!r}, expected NAME=VALUE")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    try:
        parsed: Options = parse_as(Options, values, "options")
    except ManifestError as error:
        known = ", ".join(field.name for field in fields(Options))
        raise ValueError(f"--{error}; there are {known}") from error
    return parsed


def make_report(plan: Plan, found: Findings) -> Report:
    """The findings with all that is needed to read them."""
    import datetime

    from wordmask_bench.bench_limit import Work, with_share
    from wordmask_bench.bench_machine import machine
    from wordmask_bench.bench_report import KIND, SCHEMA, Report, SideFacts, Subject

    manifest = plan.bundle.manifest
    first = next(iter(plan.sides.values()))
    words = sum(map(len, first.vocabulary.classes)) + len(first.vocabulary.background)
    work = Work(plan.bundle, words)
    precisions = {name: precision_of(setup, manifest.precision) for name, setup in plan.sides.items()}
    limits = {name: found.rates[precisions[name]] for name in plan.engines}
    loftup = manifest.loftup is not None and first.options.use_loftup is not False
    default = asdict(type(first.options)())
    return Report(
        schema=SCHEMA,
        kind=KIND,
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        subject=Subject(
            bundle=manifest.bundle_id,
            domain=manifest.domain,
            precision=manifest.precision,
            models={name: model.name for name, model in manifest.models.items()},
            classes=len(first.vocabulary.classes),
            words=words,
            prompt_source="extracted" if first.grid is None else "grid",
            options={name: value for name, value in asdict(first.options).items() if value != default[name]},
            threads=first.threads,
        ),
        machine=machine(),
        effort=plan.effort,
        rates=found.rates,
        sides=tuple(
            SideFacts(
                name=name,
                variant=setup.variant,
                device=setup.device,
                precision=precisions[name],
                cold_start=found.starts[name].seconds,
                peak_mb=found.peaks_mb[name],
                gpu_mb=found.starts[name].gpu_mb,
            )
            for name, setup in plan.sides.items()
        ),
        measurements=tuple(with_share(row, work.gflop(row, loftup=loftup), limits) for row in found.measurements),
        throughput=tuple(found.throughput),
        agreement=tuple(found.agreement),
    )
