"""`python -m wordmask_export.tiny`: trains the tiny models and builds their bundle."""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from wordmask.system.limits import processors

STEPS = {"clip": 10000, "loftup": 5500, "sam2": 14000}
RATES = {"clip": 1e-3, "loftup": 2e-3, "sam2": 3e-3}
STAGE_GROUPS = (("clip", "loftup"), ("sam2",))  # LoftUp needs the trained CLIP; SAM2 trains in parallel
UNFINISHED = 3


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="wordmask_export.tiny", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train, or continue from the checkpoints in the folder")
    train.add_argument("--out", type=Path, required=True, help="folder of checkpoints, logs and weights")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after this time; the same command continues"
    )
    train.add_argument(
        "--stage", nargs="+", choices=tuple(STEPS), help="only these, in this order (default: all, in two processes)"
    )
    train.add_argument("--steps", type=float, default=1.0, help="factor for the default number of steps (default: 1)")
    train.add_argument(
        "--begin",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="leave out the first steps, this share of them; with --from (default: 0)",
    )
    train.add_argument("--threads", type=int, help="of each process (default: half the cores)")
    train.add_argument(
        "--from",
        dest="start",
        type=Path,
        metavar="WEIGHTS",
        help="folder with initial weights, written by train or keep; unused if --out has a checkpoint",
    )
    train.add_argument("--device", default="cpu", help="as torch names it (default: cpu)")
    train.add_argument(
        "--workers",
        type=int,
        help="processes that make the data of each training (default: none beside a CPU, else a third of the cores)",
    )
    train.add_argument("--nice", type=int, default=10, help="lowers the priority by that much (default: 10)")
    make = commands.add_parser("build", help="build the bundle")
    make.add_argument("--weights", type=Path, required=True, help="folder that train or keep wrote")
    make.add_argument("--out", type=Path, required=True, help="the bundle's folder, e.g. models_cache/tiny")
    make.add_argument("--force", action="store_true", help="replace an existing bundle")
    keep = commands.add_parser("keep", help="write the weights in half precision, as they stand in the repository")
    keep.add_argument("--weights", type=Path, required=True, help="folder that train wrote")
    keep.add_argument("--out", type=Path, required=True, help="folder for NAME.safetensors")
    return parser.parse_args(arguments)


def run_train(args: argparse.Namespace) -> int:
    """Trains the stages of this process; returns 0 if all are finished, 3 if time ran out before."""
    import torch  # noqa: PLC0415

    from wordmask_export.models.weights import read  # noqa: PLC0415
    from wordmask_export.tiny.ahead import ahead  # noqa: PLC0415
    from wordmask_export.tiny.clip_stage import ClipStage  # noqa: PLC0415
    from wordmask_export.tiny.kept import weights_file  # noqa: PLC0415
    from wordmask_export.tiny.loftup_stage import LoftupStage, trained_towers  # noqa: PLC0415
    from wordmask_export.tiny.loop import Schedule, Stage, train  # noqa: PLC0415
    from wordmask_export.tiny.sam2_stage import Sam2Stage  # noqa: PLC0415

    os.nice(args.nice)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU
    workers = args.workers if args.workers is not None else 0 if args.device == "cpu" else max(1, processors() // 3)
    if args.threads:
        torch.set_num_threads(args.threads)
    end = time.monotonic() + args.minutes * 60
    for name in args.stage:
        steps = max(1, round(STEPS[name] * args.steps))
        schedule = Schedule(steps, RATES[name], first=round(steps * args.begin))
        stage: Stage
        if name == "clip":
            stage = ClipStage(args.seed, device=args.device)
        elif name == "sam2":
            stage = Sam2Stage(args.seed, schedule.steps, device=args.device)
        else:
            own = args.out / "clip.pt"
            clip = weights_file(args.start, "clip") if args.start and not own.is_file() else own
            stage = LoftupStage(args.seed, trained_towers(clip), device=args.device)
        if args.start:
            stage.start(read(weights_file(args.start, name)))
        with ahead(stage.stream, workers) as stage.stream:
            finished = train(stage, schedule, args.out, seconds=end - time.monotonic())
        if not finished:
            print(f"stopped within {name}: the same command continues", file=sys.stderr)  # noqa: T201
            return UNFINISHED
    return 0


def run_processes(args: argparse.Namespace, arguments: Sequence[str]) -> int:
    """Trains each group of stages in its own process: two processes of one thread are faster than one of two."""
    threads = args.threads or max(1, processors() // len(STAGE_GROUPS))
    command = [sys.executable, "-m", "wordmask_export.tiny", *arguments, "--threads", str(threads)]
    processes = [subprocess.Popen([*command, "--stage", *stages]) for stages in STAGE_GROUPS]
    try:
        statuses = [process.wait() for process in processes]
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    return next((status for status in statuses if status not in (0, UNFINISHED)), max(statuses))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    args = parse_args(arguments)
    if args.command == "train" and not args.stage:
        return run_processes(args, sys.argv[1:] if arguments is None else arguments)
    from wordmask_export.build import BuildError  # noqa: PLC0415
    from wordmask_export.models.weights import WeightsError  # noqa: PLC0415

    try:
        if args.command == "train":
            return run_train(args)
        if args.command == "keep":
            from wordmask_export.tiny.kept import keep  # noqa: PLC0415

            keep(args.weights, args.out)
        else:
            from wordmask_export.tiny.bundle import build_bundle  # noqa: PLC0415

            build_bundle(args.weights, args.out, force=args.force)
    except (BuildError, WeightsError) as error:
        print(f"wordmask_export.tiny: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
