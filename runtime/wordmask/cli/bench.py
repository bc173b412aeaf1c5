"""`wordmask bench`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

BASELINES = ("eager", "batched", "autocast", "compile")
PHOTO_WORDS = ("person", "cat", "cup", "car", "wheel", "window", "rocket", "table")
MODEL_FILES = ("clip", "sam2", "clip_weights", "loftup_weights", "sam2_weights")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask bench`."""
    add = parser.add_argument
    add("--bundle", metavar="NAME_OR_PATH", help="the models, which PyTorch loads from where they were built from")
    add("--images", required=True, type=Path, nargs="+", metavar="PHOTO_OR_FOLDER")
    add(
        "--vocabulary",
        nargs="+",
        default=list(PHOTO_WORDS),
        metavar="WORD",
        help="as run (default: some everyday words)",
    )
    add("--background", default="default", metavar="default|none|@FILE", help="as run (%(default)s)")
    add("--device", nargs="+", default=["cpu"], metavar="DEVICE", help="one or several, as run (cpu)")
    add("--upsampler-device", metavar="DEVICE", help="as run")
    add("--tensorrt-precision", choices=("fp16", "bf16", "fp32"), default="fp16", help="as run (%(default)s)")
    add("--baselines", nargs="+", choices=BASELINES, default=["eager"], help="forms of the PyTorch chain (eager)")
    add(
        "--options", nargs="+", default=[], metavar="NAME=VALUE", help="of wordmask.Options, such as min_confidence=0.5"
    )
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


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask bench`; gives the exit status."""
    from wordmask import extras

    extras.need("wordmask bench", "export", extras.BUILD)
    from wordmask.bundle.opening import open_bundle
    from wordmask_bench.speed.benchmark import run as run_sides
    from wordmask_bench.speed.make_report import make_report
    from wordmask_bench.speed.page import page
    from wordmask_bench.speed.plan import make_plan
    from wordmask_bench.speed.table import table

    for path in filter(None, (args.json, args.report)):
        with path.open("a"):  # that it cannot be written is better known before the work than after
            pass
    bundle = open_bundle(args.bundle)
    plan = make_plan(args, bundle)
    report = make_report(plan, run_sides(plan, lambda text: print(text, file=sys.stderr, flush=True)))
    print(table(report))
    if args.json:
        args.json.write_text(report.to_json(), encoding="utf-8")
    if args.report:
        args.report.write_bytes(page(report))
    return 0
