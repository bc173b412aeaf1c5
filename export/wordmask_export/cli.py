"""`wordmask build` and `wordmask engines`: the options, and what they mean. Imports nothing heavy until they run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordmask_export.engines import Choice as EngineChoice


BACKBONES = ("dinov2s", "dinov2b", "dinov2s_reg", "dinov2b_reg", "siglip", "siglip2")
OF_CLIP = {  # options that only its bundles have, with their defaults
    "clip": "ViT-B-16-quickgelu",
    "loftup": "loftup_clip",
    "sam2": "sam2.1_hiera_large",
    "clip_weights": "openai",
    "sam2_weights": "hub",
    "clip_attention": "csa",
    "stride": 112,
    "short_side": 336,
    "long_side": 2048,
    "tensorrt": False,
}


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask build`."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new bundle, e.g. models_cache/default")
    parser.add_argument(
        "--backbone",
        choices=("clip", *BACKBONES),
        default="clip",
        help="clip, or a backbone for `wordmask features` alone (%(default)s)",
    )
    parser.add_argument("--backbone-weights", default="hub", metavar="hub|PATH", help="of other backbones than clip")
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
    parser.add_argument("--tensorrt", action="store_true", help="then build TensorRT engines for this machine's GPU")
    _add_tensorrt_arguments(parser)


def add_engines_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask engines`."""
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of the bundle")
    _add_tensorrt_arguments(parser)
    parser.add_argument("--features", action="store_true", help="also for loftup_features, which `run` does not use")
    parser.add_argument("--prune", action="store_true", help="remove this GPU's engines for other TensorRT versions")
    parser.add_argument("--debug", type=Path, metavar="DIR", help="write what Polygraphy needs to compare each graph")
    parser.add_argument("--compare", action="store_true", help="compare each engine with ONNX Runtime on real photos")


def _add_tensorrt_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("TensorRT").add_argument
    add("--tensorrt-precision", choices=("fp16", "bf16", "fp32"), default="fp16", help="of the engines (%(default)s)")
    add("--max-batch", type=int, default=8, help="windows or photos in the largest batch (%(default)s)")
    add("--max-prompts", type=int, default=64, help="SAM2 prompts in the largest batch (%(default)s)")
    add("--workspace", type=int, metavar="MIB", help="most GPU memory a layer may use (default: TensorRT's)")
    add("--gpu", type=int, default=0, metavar="N", help="which GPU (%(default)s)")


def engine_choice(args: argparse.Namespace) -> EngineChoice:
    """What the options of --tensorrt ask for."""
    from wordmask_export.engines import Choice

    return Choice(
        precision=args.tensorrt_precision,
        max_batch=args.max_batch,
        max_prompts=args.max_prompts,
        features=getattr(args, "features", False),
        workspace=None if args.workspace is None else args.workspace << 20,
        gpu=args.gpu,
        prune=getattr(args, "prune", False),
    )


def run_build(args: argparse.Namespace) -> int:
    """Runs `wordmask build`; gives the exit status."""
    from wordmask_export.build import BuildError
    from wordmask_export.weights import WeightsError

    try:
        if args.backbone == "clip":
            _build_pipeline(args)
        else:
            _build_features(args)
    except (BuildError, WeightsError, ValueError) as error:
        print(f"wordmask build: {error}", file=sys.stderr)
        return 1 if isinstance(error, BuildError) else 2
    except OSError as error:
        print(f"wordmask build: cannot write {args.out}: {error}", file=sys.stderr)
        return 4
    return _build_engines(args.out, args) if args.tensorrt else 0


def _build_pipeline(args: argparse.Namespace) -> None:
    from wordmask_export.build import build
    from wordmask_export.engines import find_target
    from wordmask_export.graphs import Protocol
    from wordmask_export.models import Choice

    if args.backbone_weights != "hub":
        raise ValueError("--backbone-weights is for other backbones than clip: use --clip-weights")
    choice = Choice(
        clip=args.clip,
        loftup=args.loftup,
        sam2=args.sam2,
        clip_weights=args.clip_weights,
        loftup_weights=args.loftup_weights,
        sam2_weights=args.sam2_weights,
        weights=args.weights,
    )
    if args.tensorrt:
        find_target(args.gpu)  # the export takes minutes: what engines need is missed before it
    protocol = Protocol(args.window, args.stride, args.short_side, args.long_side, attention=args.clip_attention)
    build(args.out, choice, protocol, precision=args.precision, half_weights=args.half_weights, force=args.force)


def _build_features(args: argparse.Namespace) -> None:
    from wordmask_export.backbones import BackboneChoice
    from wordmask_export.build_features import build_features

    given = [f"--{name.replace('_', '-')}" for name, default in OF_CLIP.items() if getattr(args, name) != default]
    if given:
        raise ValueError(
            f"{', '.join(given)}: only for --backbone clip; {args.backbone}'s bundle is for features alone"
        )
    choice = BackboneChoice(args.backbone, args.backbone_weights, args.loftup_weights, args.weights)
    build_features(
        args.out,
        choice,
        window=args.window,
        precision=args.precision,
        half_weights=args.half_weights,
        force=args.force,
    )


def run_engines(args: argparse.Namespace) -> int:
    """Runs `wordmask engines`, whose `bundle` is a folder by now; gives the exit status."""
    if args.debug is not None:
        from wordmask_export.engines_debug import write_debug

        write_debug(args.bundle, args.debug, engine_choice(args))
    status = _build_engines(args.bundle, args)
    if args.compare and status == 0:
        from wordmask_export.engines_compare import compare, show

        print(show(compare(args.bundle, engine_choice(args))))
    return status


def _build_engines(bundle: Path, args: argparse.Namespace) -> int:
    from wordmask_export.engines import build_engines
    from wordmask_export.trt_api import EngineBuildError

    try:
        build_engines(bundle, engine_choice(args))
    except EngineBuildError as error:
        print(f"wordmask engines: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"wordmask engines: cannot write {bundle / 'engines'}: {error}", file=sys.stderr)
        return 4
    return 0
