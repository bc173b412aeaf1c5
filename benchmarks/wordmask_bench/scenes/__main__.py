"""Writes a folder of scenes: `python -m wordmask_bench.scenes --out DIR --count N --seed S`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from wordmask.errors import OutputError
from wordmask_bench.scenes.folder import write_folder
from wordmask_bench.scenes.words import Combinations


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.scenes", description="Write labelled synthetic scenes.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--count", type=int, default=8, help="number of scenes (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first scene; the next have the following numbers (default: 0)"
    )
    parser.add_argument("--combinations", choices=get_args(Combinations), default="test", help="(default: %(default)s)")
    parser.add_argument("--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="default: 224 to 640 each")
    args = parser.parse_args(arguments)
    size = (args.size[0], args.size[1]) if args.size else None
    try:
        write_folder(args.out, range(args.seed, args.seed + args.count), combinations=args.combinations, size=size)
    except (OutputError, ValueError) as error:
        print(f"wordmask_bench.scenes: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
