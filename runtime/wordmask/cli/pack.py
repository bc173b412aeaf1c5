"""`wordmask pack`: the options. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from wordmask.formats.terminal import printable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask pack`."""
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of the bundle, or hf:OWNER/NAME[@REVISION]")
    text = "the file to write (default: NAME.wordmask in this folder)"
    parser.add_argument("--output", type=Path, metavar="FILE", help=text)
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask pack`; gives the exit status."""
    from wordmask.bundle.opening import open_any_bundle
    from wordmask.bundle.packing import pack
    from wordmask.bundle.unpacking import SUFFIX

    out: Path = args.output or Path(_name(args.bundle) + SUFFIX)
    if out.suffix != SUFFIX:
        raise ValueError(f"--output is {str(out)!r}: expected a name that ends in {SUFFIX}")
    if out.exists() and not args.force:
        raise ValueError(f"{out} exists: --force replaces it, --output names another file")
    bundle = open_any_bundle(args.bundle)
    digest = pack(bundle, out)
    print(printable(f"{out}: {out.stat().st_size / 1e6:.1f} MB, bundle {bundle.manifest.bundle_id}, sha256 {digest}"))
    return 0


def _name(bundle: str) -> str:
    """What a bundle is called: the end of its path, or of its name on the hub."""
    path = Path(bundle.partition("@")[0]) if bundle.startswith("hf:") else Path(bundle).absolute()
    return path.name or "bundle"
