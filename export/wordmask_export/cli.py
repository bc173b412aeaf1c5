"""`wordmask build`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask build`."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new bundle, e.g. models_cache/default")
    parser.add_argument("--clip", default="ViT-B-16-quickgelu", help="open_clip model, or a JSON configuration of one")
    parser.add_argument("--loftup", default="loftup_clip", help="LoftUp checkpoint, or none")
    parser.add_argument("--sam2", default="sam2.1_hiera_large", help="SAM2 model, or a YAML configuration of one")
    parser.add_argument(
        "--clip-weights", default="openai", metavar="TAG|PATH", help="open_clip's weights tag or a file"
    )
    parser.add_argument("--loftup-weights", default="hub", metavar="hub|PATH", help="from the hub or a file")
    parser.add_argument("--sam2-weights", default="hub", metavar="hub|PATH", help="from the hub or a file")
    parser.add_argument(
        "--weights", metavar="random:SEED", help="no checkpoints: seeded random weights, for speed tests"
    )
    parser.add_argument("--clip-attention", choices=("csa", "maskclip"), default="csa", help="of CLIP's last block")
    parser.add_argument("--precision", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--half-weights", action="store_true", help="half-precision weights, for half the size")
    parser.add_argument("--window", type=int, default=224, help="side of the windows, pixels")
    parser.add_argument("--stride", type=int, default=112, help="step of the windows, pixels")
    parser.add_argument("--short-side", type=int, default=336, help="photos are resized to this short side")
    parser.add_argument("--long-side", type=int, default=2048, help="unless their long side would exceed this")
    parser.add_argument("--force", action="store_true", help="replace a bundle that stands there")


def run_build(args: argparse.Namespace) -> int:
    """Runs `wordmask build`; gives the exit status."""
    from wordmask_export.build import BuildError, build
    from wordmask_export.graphs import Protocol
    from wordmask_export.models import Choice
    from wordmask_export.weights import WeightsError

    try:
        choice = Choice(
            clip=args.clip,
            loftup=args.loftup,
            sam2=args.sam2,
            clip_weights=args.clip_weights,
            loftup_weights=args.loftup_weights,
            sam2_weights=args.sam2_weights,
            weights=args.weights,
        )
        protocol = Protocol(args.window, args.stride, args.short_side, args.long_side, attention=args.clip_attention)
        build(args.out, choice, protocol, precision=args.precision, half_weights=args.half_weights, force=args.force)
    except (BuildError, WeightsError, ValueError) as error:
        print(f"wordmask build: {error}", file=sys.stderr)
        return 1 if isinstance(error, BuildError) else 2
    except OSError as error:
        print(f"wordmask build: cannot write {args.out}: {error}", file=sys.stderr)
        return 4
    return 0
