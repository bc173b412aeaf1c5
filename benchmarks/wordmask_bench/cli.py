"""`wordmask eval`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordmask_bench.eval_scenes import Report

DATASETS = ("scenes",)
HELD_OUT_SCENES = 500
ROWS = {
    "miou": "mIoU",
    "miou_objects": "mIoU of objects' words",
    "miou_unseen": "mIoU of words never trained",
    "miou_band": "mIoU within 3 px of an outline",
    "accuracy": "pixels right",
    "small_found": "objects under 24 px found",
}


def add_eval_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask eval`."""
    parser.add_argument("--dataset", choices=DATASETS, required=True, help="scenes: synthetic, held out from training")
    parser.add_argument("--bundle", metavar="NAME_OR_PATH", help="the models (default: as run)")
    parser.add_argument("--limit", type=int, default=HELD_OUT_SCENES, metavar="N", help="pictures (%(default)s)")
    parser.add_argument(
        "--device", default="cpu", help="cpu, openvino[:bf16], cuda[:N], tensorrt[:N] or tensorrt-rtx[:N] (%(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, help="pictures at the same time, on one CPU thread each (default: cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")


def run_eval(args: argparse.Namespace) -> int:
    """Runs `wordmask eval`; gives the exit status."""
    from tqdm import tqdm

    from wordmask.pipeline import Segmenter
    from wordmask_bench.eval_scenes import FIRST_SEED, evaluate, to_dict

    if args.limit < 1:
        raise ValueError(f"--limit is {args.limit}: give at least 1")
    workers = args.workers or os.cpu_count() or 1
    if workers < 1:
        raise ValueError(f"--workers is {workers}: give at least 1")
    if args.json:
        with args.json.open("a"):  # that it cannot be written is better known before the work than after
            pass
    segmenter = Segmenter(args.bundle, device=args.device, threads=1)
    with tqdm(total=args.limit, unit="scene", disable=not sys.stderr.isatty()) as bar:
        seeds = range(FIRST_SEED, FIRST_SEED + args.limit)
        report = evaluate(segmenter, seeds, workers=workers, progress=bar.update)
    print(table(report))
    if args.json:
        facts = {"dataset": args.dataset, "bundle": segmenter.manifest.bundle_id, "first_seed": FIRST_SEED}
        args.json.write_text(json.dumps({**facts, **to_dict(report)}, indent=1) + "\n", encoding="utf-8")
    return 0


def table(report: Report) -> str:
    """The figures as Markdown."""
    lines = [f"| {report.scenes} scenes | bilinear | LoftUp | labelled masks |", "|---|---|---|---|"]
    for key, name in ROWS.items():
        cells = " | ".join(f"{report.maps[kind][key]:.3f}" for kind in ("bilinear", "loftup", "masks"))
        lines.append(f"| {name} | {cells} |")
    by_area = ", ".join(f"{name} {value:.3f}" for name, value in report.click_by_area.items())
    lines += [
        "",
        f"One click in each object: mean IoU {report.click:.3f} ({by_area})",
        f"Prompts a scene: {report.prompts:.1f}, {report.prompts_saved:.1%} fewer than a grid of 1024 points",
        f"Median time of a scene: {report.seconds:.2f} s",
    ]
    return "\n".join(lines)
