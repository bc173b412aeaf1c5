"""`wordmask eval`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wordmask.cli.arguments import add_bundle, add_device, add_options
from wordmask.cli.device import open_for_device

if TYPE_CHECKING:
    from wordmask.options import Options
    from wordmask.pipeline import Segmenter

HELD_OUT_SCENES = 500
SCENES = ("scenes", "things", "things-unseen")
DATASETS = (
    *SCENES,
    *("voc21", "voc20", "context59", "context60", "coco-object", "coco-stuff", "cityscapes", "ade20k", "folder"),
)
NOT_OF_SCENES = ("root", "loftup", "masks", "upsample", "classes", "first_label")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask eval`."""
    add = parser.add_argument_group("dataset").add_argument
    text = (
        "scenes: synthetic, held out from training; things, things-unseen: synthetic too, drawn things with everyday "
        "names; folder: any photos with label PNGs; the others are published"
    )
    add("--dataset", choices=DATASETS, required=True, help=text)
    add("--root", type=Path, metavar="DIR", help="the dataset's folder (all but the synthetic ones)")
    add("--limit", type=int, metavar="N", help=f"first N photos only (default: all; {HELD_OUT_SCENES} scenes)")
    add("--classes", type=Path, metavar="FILE", help="of folder: one class per line (default: DIR/words.txt)")
    text = "of folder: label of the first class in the PNGs (default: 1, and 0 is ignored)"
    add("--first-label", type=int, choices=(0, 1), help=text)
    add("--all-words", action="store_true", help="of scenes: ask each for all words, not its own and 12 others")
    add("--first-seed", type=int, metavar="N", help="of scenes: seed of the first (default: 1000000)")
    models = parser.add_argument_group("models and maps")
    add_bundle(models)
    text = "the class map with LoftUp only, or bilinear only (default: both, if the bundle has LoftUp)"
    models.add_argument("--loftup", action=argparse.BooleanOptionalAction, help=text)
    text = "also SAM2's masks, prompted from the class map"
    models.add_argument("--masks", action="store_true", default=None, help=text)
    add_options(models, "upsample", "stride")
    text = "of wordmask.Options, such as min_score=0"
    models.add_argument("--options", nargs="+", default=[], metavar="NAME=VALUE", help=text)
    devices = parser.add_argument_group("devices")
    add_device(devices, threads=False)
    text = "photos at the same time, on one CPU thread each (default: cores, fewer if memory is short)"
    devices.add_argument("--workers", type=int, help=text)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask eval`; gives the exit status."""
    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit is {args.limit}: give at least 1")
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers is {args.workers}: give at least 1")
    measure = _measure_scenes if args.dataset in SCENES else _measure_dataset
    text, figures = measure(args)
    print(text)
    if args.json:
        from wordmask.system.files import write_bytes

        write_bytes(args.json, (json.dumps(figures, indent=1) + "\n").encode())
    return 0


def _measure_scenes(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The table and the figures of synthetic scenes."""
    from tqdm import tqdm

    from wordmask.system.limits import processors
    from wordmask_bench.quality.scenes import FIRST_SEED, evaluate, table, to_dict
    from wordmask_bench.quality.worlds import WORLDS

    given = [name for name in NOT_OF_SCENES if getattr(args, name) is not None]
    if given:
        option = given[0].replace("_", "-")
        raise ValueError(f"--{option} is for the datasets on disk, and {args.dataset} are synthetic: leave it out")
    count = args.limit or HELD_OUT_SCENES
    workers = args.workers or processors()
    segmenter = _segmenter(args)
    with tqdm(total=count, unit="scene", disable=not sys.stderr.isatty()) as bar:
        first = FIRST_SEED if args.first_seed is None else args.first_seed
        seeds = range(first, first + count)
        report = evaluate(
            segmenter,
            seeds,
            world=WORLDS[args.dataset],
            options=_options(args),
            all_words=args.all_words,
            workers=workers,
            progress=bar.update,
        )
    facts = {
        "dataset": args.dataset,
        "bundle": segmenter.manifest.bundle_id,
        "first_seed": seeds[0],
        "all_words": args.all_words,
        "options": [*args.options, *([] if args.stride is None else [f"stride={args.stride}"])],
    }
    return table(report), {**facts, **to_dict(report)}


def _measure_dataset(args: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """The table and the figures of a dataset on disk."""
    from tqdm import tqdm

    from wordmask_bench.datasets.dataset import open_dataset
    from wordmask_bench.quality import report as eval_report
    from wordmask_bench.quality.dataset import default_workers, measure

    if args.root is None:
        raise ValueError(f"--dataset {args.dataset} needs --root: the dataset's folder")
    dataset = open_dataset(
        args.dataset, args.root, limit=args.limit, classes=args.classes, first_label=args.first_label
    )
    segmenter = _segmenter(args)
    with tqdm(total=len(dataset.pairs), unit="photo", disable=not sys.stderr.isatty()) as bar:
        report = measure(
            segmenter,
            dataset,
            loftup=args.loftup,
            masks=bool(args.masks),
            workers=args.workers or default_workers(segmenter, dataset, args.stride),
            options=replace(_options(args), upsample=args.upsample),
            progress=bar.update,
        )
    return eval_report.table(report), eval_report.to_dict(report)


def _options(args: argparse.Namespace) -> Options:
    from wordmask_bench.speed.plan import parse_options

    options = parse_options(args.options)
    return options if args.stride is None else replace(options, stride=args.stride)


def _segmenter(args: argparse.Namespace) -> Segmenter:
    from wordmask.pipeline import Segmenter
    from wordmask.system.files import check_writable

    if args.json:
        check_writable(args.json)
    return Segmenter(open_for_device(args, args.bundle), device=args.device, threads=1)
