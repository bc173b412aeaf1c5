"""`wordmask inspect`: the options. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse


def add_inspect_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask inspect`."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="name or folder (default: as `run` finds it)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run_inspect(args: argparse.Namespace) -> int:
    """Runs `wordmask inspect`; gives the exit status."""
    from wordmask.bundle.search import find_bundle  # noqa: PLC0415
    from wordmask.inspection import describe  # noqa: PLC0415

    print(describe(find_bundle(args.bundle), json=args.json))  # noqa: T201
    return 0
