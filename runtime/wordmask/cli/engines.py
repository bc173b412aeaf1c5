"""`wordmask engines`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wordmask.cli.arguments import add_tensorrt_precision

if TYPE_CHECKING:
    from wordmask_export.tensorrt.build import Choice as EngineChoice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask engines`."""
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of the bundle")
    add_tensorrt_arguments(parser)
    parser.add_argument("--features", action="store_true", help="also for loftup_features, which `run` does not use")
    parser.add_argument("--prune", action="store_true", help="remove this GPU's engines for other TensorRT versions")
    parser.add_argument("--debug", type=Path, metavar="DIR", help="write what Polygraphy needs to compare each graph")
    parser.add_argument("--compare", action="store_true", help="compare each engine with ONNX Runtime on real photos")


def add_tensorrt_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of engines, which `wordmask build --tensorrt` has too."""
    add = (group := parser.add_argument_group("TensorRT")).add_argument
    add_tensorrt_precision(group)
    add("--max-batch", type=int, default=10, help="windows in the largest batch (%(default)s)")
    add("--max-prompts", type=int, default=64, help="SAM2 prompts in the largest batch (%(default)s)")
    add("--workspace", type=int, metavar="MIB", help="most GPU memory a layer may use (default: TensorRT's)")
    add("--gpu", type=int, default=0, metavar="N", help="which GPU (%(default)s)")


def engine_choice(args: argparse.Namespace) -> EngineChoice:
    """What the options of --tensorrt ask for."""
    from wordmask_export.tensorrt.build import Choice

    return Choice(
        precision=args.tensorrt_precision,
        max_batch=args.max_batch,
        max_prompts=args.max_prompts,
        features=getattr(args, "features", False),
        workspace=None if args.workspace is None else args.workspace << 20,
        gpu=args.gpu,
        prune=getattr(args, "prune", False),
    )


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask engines`; gives the exit status."""
    from wordmask import extras
    from wordmask.bundle.search import find_bundle

    args.bundle = find_bundle(args.bundle)
    compares = args.debug is not None or args.compare
    extras.need("wordmask engines", "trt", extras.ENGINES + (extras.POLYGRAPHY if compares else ()))
    if args.debug is not None:
        from wordmask_export.tensorrt.debug import write_debug

        write_debug(args.bundle, args.debug, engine_choice(args))
    status = build_engines_of(args.bundle, args)
    if args.compare and status == 0:
        from wordmask_export.tensorrt.compare import compare, show

        print(show(compare(args.bundle, engine_choice(args))))
    return status


def build_engines_of(bundle: Path, args: argparse.Namespace) -> int:
    """Builds a bundle's engines; gives the exit status."""
    from wordmask.bundle.engines import FOLDER
    from wordmask_export.tensorrt.api import EngineBuildError
    from wordmask_export.tensorrt.build import build_engines

    try:
        build_engines(bundle, engine_choice(args))
    except EngineBuildError as error:
        print(f"wordmask engines: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if error.filename and not Path(error.filename).absolute().is_relative_to((bundle / FOLDER).absolute()):
            raise  # a file of the bundle cannot be read
        print(f"wordmask engines: cannot write {bundle / 'engines'}: {error}", file=sys.stderr)
        return 4
    return 0
