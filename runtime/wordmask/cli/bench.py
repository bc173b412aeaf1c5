"""`wordmask bench`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from wordmask.cli.arguments import UPSAMPLER, add_background, add_bundle, add_tensorrt_precision, add_vocabulary
from wordmask.cli.device import named_device

BASELINES = ("eager", "batched", "autocast", "compile")
PHOTO_WORDS = ("person", "cat", "cup", "car", "wheel", "window", "rocket", "table")
MODEL_FILES = ("clip", "sam2", "clip_weights", "loftup_weights", "sam2_weights")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask bench`."""
    add = (given := parser.add_argument_group("input")).add_argument
    add("--images", required=True, type=Path, nargs="+", metavar="PHOTO_OR_FOLDER", help="photos, and folders")
    text = "words to find, as `wordmask run` takes them (default: some everyday words)"
    add_vocabulary(given, text, default=PHOTO_WORDS)
    add_background(given)
    add("--limit", type=int, default=1, metavar="N", help="photos timed one by one; throughput takes all (%(default)s)")
    models = parser.add_argument_group("models, which PyTorch loads from the files that the bundle was built from")
    add_bundle(models)
    add = models.add_argument
    add("--baselines", nargs="+", choices=BASELINES, default=["eager"], help="forms of the PyTorch chain (eager)")
    text = "fields of wordmask.Options, such as min_confidence=0.5"
    add("--options", nargs="+", default=[], metavar="NAME=VALUE", help=text)
    add("--clip", metavar="FILE.json", help="the bundle's --clip if that was a file; likewise:")
    for name in MODEL_FILES[1:]:
        add(f"--{name.replace('_', '-')}", metavar="FILE")
    add = (devices := parser.add_argument_group("devices")).add_argument
    add("--device", nargs="+", default=["cpu"], metavar="DEVICE", help="one or several, as of `wordmask run` (cpu)")
    add("--upsampler-device", metavar="DEVICE", help=UPSAMPLER)
    add_tensorrt_precision(devices)
    add("--threads", type=int, metavar="N", help="CPU threads of each side (default: all cores)")
    add = parser.add_argument_group("measurement").add_argument
    text = "photos as one window, and cut into the bundle's windows (both)"
    add("--windows", nargs="+", choices=("one", "default"), default=["one", "default"], help=text)
    add("--prompts", type=int, default=32, help="number of SAM2 prompts per photo (%(default)s)")
    add("--batch", nargs="+", type=int, default=[1, 8], metavar="N", help="batch sizes at which stages are timed (1 8)")
    add("--no-stages", action="store_true", help="time whole photos only")
    text = "minimum of each side before the measured runs (%(default)s)"
    add("--warm-up", type=float, default=0.2, metavar="SECONDS", help=text)
    add("--runs", type=int, default=10, help="minimum of each side (%(default)s)")
    add("--seconds", type=float, default=3.0, help="minimum of each side (%(default)s)")
    add = parser.add_argument_group("output").add_argument
    add("--json", type=Path, metavar="FILE", help="also write all figures to FILE")
    add("--report", type=Path, metavar="FILE.html", help="also draw them as a page")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask bench`; gives the exit status."""
    from wordmask import extras

    extras.need("wordmask bench", "export", extras.BUILD)
    from wordmask.bundle.opening import open_bundle
    from wordmask.loading import STAGES
    from wordmask.system.files import check_writable, write_bytes
    from wordmask_bench.speed.benchmark import run as run_sides
    from wordmask_bench.speed.make_report import make_report
    from wordmask_bench.speed.page import page
    from wordmask_bench.speed.plan import make_plan
    from wordmask_bench.speed.table import table

    for path in filter(None, (args.json, args.report)):
        check_writable(path)
    bundle = open_bundle(args.bundle)
    named = (named_device(device, bundle, STAGES, args.tensorrt_precision) for device in args.device)
    args.device = list(dict.fromkeys(named))
    plan = make_plan(args, bundle)
    report = make_report(plan, run_sides(plan, lambda text: print(text, file=sys.stderr, flush=True)))
    print(table(report))
    if args.json:
        write_bytes(args.json, report.to_json().encode())
    if args.report:
        write_bytes(args.report, page(report))
    return 0
