"""One photo through the engine and through PyTorch eager, alternating, each in a process of its own.

    python -m wordmask_bench.against_eager --bundle models_cache/default --photo photo.jpg --vocabulary truck wheel

Prints seconds a photo (models loaded, words embedded, decoding included) and peak memory of each side, their ratio, and
how far the results agree. The ratio of medians over alternating rounds is the figure: machines are noisy.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.bundle import open_bundle
from wordmask.errors import MissingExtraError
from wordmask.image import decode
from wordmask.pipeline import Clock, Segmenter
from wordmask.prompts import extract_prompts
from wordmask.types import Options, Vocabulary

SIDES = ("engine", "eager")


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the engine against PyTorch eager on one photo.")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--photo", required=True, type=Path)
    parser.add_argument("--vocabulary", nargs="+", required=True)
    parser.add_argument("--min-confidence", type=float, default=0.7)
    parser.add_argument("--min-region-size", type=int, default=100)
    parser.add_argument("--clip", help="configuration file, if the bundle was built from one")
    parser.add_argument("--sam2", help="configuration file, if the bundle was built from one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    return parser


def engine(args: argparse.Namespace, options: Options) -> tuple[float, NDArray[Any], int, dict[str, float]]:
    """Seconds of one photo, its class map, the number of prompts, and seconds a stage."""
    segmenter = Segmenter(args.bundle)
    queries = segmenter.embed(Vocabulary.parse(args.vocabulary))
    start = time.perf_counter()
    result = segmenter.segment(decode(args.photo), queries, options, Clock())
    return time.perf_counter() - start, result.dense, result.prompt_count, result.seconds


def eager(args: argparse.Namespace, options: Options) -> tuple[float, NDArray[Any], int, dict[str, float]]:
    """The same of the PyTorch chain."""
    import torch  # noqa: PLC0415

    from wordmask_bench.baseline import EagerChain  # noqa: PLC0415
    from wordmask_export.models import Choice, load  # noqa: PLC0415

    manifest = open_bundle(args.bundle).manifest
    models = manifest.models
    source = models["clip"].source
    weights = source if source.startswith("random:") else None
    choice = Choice(
        clip=args.clip or models["clip"].name,
        loftup=models["loftup"].name,
        sam2=args.sam2 or models["sam2"].name,
        weights=weights,
    )
    chain = EagerChain(load(choice), manifest.clip)
    words = list(Vocabulary.parse(args.vocabulary).names)
    text = chain.embed(words)
    clock = Clock()
    start = time.perf_counter()
    photo = decode(args.photo).copy()
    with clock.measure("class_map"):
        index, probabilities = chain.class_map(photo, text)
        confidence = probabilities.numpy().max(0)
    prompts = extract_prompts(index, confidence, len(words), options)
    with clock.measure("sam2"), torch.inference_mode():
        chain.masks(photo, prompts)
    return time.perf_counter() - start, (index + 1).astype(np.uint16), len(prompts), clock.seconds


def run_side(args: argparse.Namespace) -> None:
    """Runs one side in this process and leaves its figures and class map in args.keep."""
    options = Options(min_confidence=args.min_confidence, min_region_size=args.min_region_size)
    seconds, dense, prompts, stages = (engine if args.side == "engine" else eager)(args, options)
    np.save(args.keep / f"{args.side}.npy", dense)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    figures = {"seconds": seconds, "peak_gib": peak, "prompts": prompts, "stages": stages}
    (args.keep / f"{args.side}.json").write_text(json.dumps(figures), encoding="utf-8")


def main() -> int:
    """Runs the command line."""
    args = make_parser().parse_args()
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("the comparison with PyTorch", "export", "torch")
    if args.side:
        run_side(args)
        return 0
    with tempfile.TemporaryDirectory() as keep:
        figures: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
        for number in range(args.rounds):
            for side in SIDES:
                command = [sys.executable, "-m", __spec__.name, *sys.argv[1:], "--side", side, "--keep", keep]
                subprocess.run(command, check=True)
                figures[side].append(json.loads((Path(keep) / f"{side}.json").read_text(encoding="utf-8")))
                print(f"round {number + 1} {side}: {json.dumps(figures[side][-1])}", flush=True)  # noqa: T201
        maps = [np.load(Path(keep) / f"{side}.npy") for side in SIDES]
    median = {side: statistics.median(run["seconds"] for run in figures[side]) for side in SIDES}
    peak = {side: max(run["peak_gib"] for run in figures[side]) for side in SIDES}
    print(  # noqa: T201
        f"engine {median['engine']:.1f} s, {peak['engine']:.1f} GiB; eager {median['eager']:.1f} s, "
        f"{peak['eager']:.1f} GiB; ratio {median['eager'] / median['engine']:.2f}; "
        f"class map agreement {(maps[0] == maps[1]).mean():.5f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
