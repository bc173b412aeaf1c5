"""`wordmask pull`: the options. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse

from wordmask.formats.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask pull`."""
    text = "hf:OWNER/NAME of the Hugging Face hub, or hf:OWNER/NAME@REVISION for a branch, tag or commit"
    parser.add_argument("bundle", metavar="BUNDLE", help=text)


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask pull`; gives the exit status."""
    from wordmask.bundle.hub import parse_name, pull
    from wordmask.bundle.opening import open_any_bundle

    name = parse_name(args.bundle)
    bundle = open_any_bundle(pull(name))
    about = f"bundle {bundle.manifest.bundle_id}, commit {bundle.folder.name}, in {bundle.folder}"
    print(printable(f"{about}; --bundle {name} takes it from there without a network"))
    return 0
