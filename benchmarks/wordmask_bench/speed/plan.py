"""Turns the command line of `wordmask bench` into a plan of measurements."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import get_args

from wordmask.bundle.opening import PipelineBundle
from wordmask.bundle.strict_json import parse_as
from wordmask.errors import ManifestError
from wordmask.run.find_photos import find_photos
from wordmask.system.limits import processors
from wordmask.text.vocabulary import Vocabulary
from wordmask.text.word_lists import background_words, class_lines
from wordmask.types import Options
from wordmask_bench.machine.timing import Effort
from wordmask_bench.speed.side import LIKE_PYTORCH, Setup, Stage, Variant, Windows
from wordmask_bench.torch_baseline.files import ModelFiles


@dataclass(frozen=True)
class Plan:
    """The measurements of a benchmark.

    Attributes:
        sides: by name; wordmask's sides come first, and there is at least one.
        bundle: all sides run its models.
        photos: of the folder.
        limit: number of photos, from the first, that are timed one by one.
        windows: how photos are cut: one window, or as the bundle says.
        stages: measured separately.
        batches: numbers of windows per batch, for the stages that run on windows.
        precisions: the rate of matrix products is measured in each.
        effort: how long to measure.
    """

    sides: dict[str, Setup]
    bundle: PipelineBundle
    photos: tuple[Path, ...]
    limit: int
    windows: tuple[Windows, ...]
    stages: tuple[Stage, ...]
    batches: tuple[int, ...]
    precisions: tuple[str, ...]
    effort: Effort

    @property
    def engines(self) -> list[str]:
        """Names of the wordmask sides."""
        return [name for name, setup in self.sides.items() if setup.variant == "wordmask"]

    @property
    def baselines(self) -> list[str]:
        """Names of the PyTorch sides."""
        return [name for name, setup in self.sides.items() if setup.variant != "wordmask"]


def make_plan(args: argparse.Namespace, bundle: PipelineBundle) -> Plan:
    """The plan for a command line.

    Raises:
        ValueError: a number is out of range, or the devices cannot be compared with one baseline.
    """

    for name in ("prompts", "limit", "threads"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise ValueError(f"--{name} is {value}: give at least 1")
    if min(args.batch) < 1:
        raise ValueError(f"--batch is {args.batch}: give numbers of windows, at least 1")
    photos = tuple(job.file.resolve() for job in find_photos(args.images))
    options = parse_options([*(f"{name}={json.dumps(value)}" for name, value in LIKE_PYTORCH.items()), *args.options])
    if options.stride is not None:
        raise ValueError(
            "--options stride: all sides cut photos as the bundle says; `wordmask eval --stride` takes others"
        )
    if options.mask_prompts:
        raise ValueError("--options mask_prompts: all sides prompt SAM2 with points alone")
    stages: tuple[Stage, ...] = get_args(Stage)
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


def make_sides(args: argparse.Namespace, bundle: PipelineBundle, options: Options) -> dict[str, Setup]:
    """The sides by name, wordmask's first."""

    torch_device = baseline_device(args.device)

    def setup(variant: Variant, device: str) -> Setup:
        return Setup(
            variant=variant,
            bundle=str(bundle.folder.resolve()),
            device=device,
            threads=args.threads or processors(),
            vocabulary=Vocabulary.parse(class_lines(args.vocabulary), background_words(args.background)),
            options=options,
            grid=args.prompts if bundle.manifest.domain == "random" else None,
            points=args.prompts,
            models=ModelFiles(**{field.name: getattr(args, field.name) for field in fields(ModelFiles)}),
            upsampler_device=args.upsampler_device,
            tensorrt_precision=args.tensorrt_precision,
        )

    engines = {f"wordmask {device}": setup("wordmask", device) for device in args.device}
    return engines | {name: setup(name, torch_device) for name in args.baselines}


def baseline_device(devices: Sequence[str]) -> str:
    """Device of PyTorch: the GPU that wordmask's devices name, or the CPU.

    Raises:
        ValueError: they name several devices.
    """
    places = set()
    for device in devices:
        kind, _, index = device.partition(":")
        places.add(f"cuda:{index or 0}" if kind in ("cuda", "tensorrt", "tensorrt-rtx") else "cpu")
    if len(places) > 1:
        raise ValueError(
            f"--device is {' '.join(devices)}: they run on {', '.join(sorted(places))}; bench one at a time"
        )
    return places.pop()


def precision_of(setup: Setup, weights: str) -> str:
    """Precision of a side's arithmetic: fp32, fp16 or bf16.

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
    """Reads options given as NAME=VALUE; a value is JSON, or a word without quotes.

    Raises:
        ValueError: unknown name, or a value of the wrong type.
    """

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
