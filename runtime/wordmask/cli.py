"""The `wordmask` command. Everything heavy is imported inside the command that needs it."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from wordmask.convert_cli import add_convert_arguments, run_convert
from wordmask.errors import OutputError, WordmaskError
from wordmask.exit_status import CANNOT_WRITE, USAGE
from wordmask.picture_cli import one_picture
from wordmask.run.supervisor import Interrupted, catch_signals, is_worker, supervise
from wordmask.run_cli import add_run_arguments, run_run
from wordmask.triton_cli import add_triton_arguments, run_triton


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status.

    Args:
        arguments: without the program's name. None takes the process's own, and then `run` happens in a process that
            this one watches (see supervisor).
    """
    parser = make_parser()
    args = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    catch_signals()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # a photo's damaged metadata can bring one a tag
    try:
        plain = args.command is run_run and args.ray is None and not one_picture(args)
        watched = arguments is None and plain and not is_worker()
        status: int = supervise(sys.argv[1:], args.output) if watched else args.command(args)
    except Interrupted as interruption:
        print(f"wordmask: interrupted by {interruption}", file=sys.stderr)
        status = interruption.status
    except OutputError as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    except (WordmaskError, FileNotFoundError, ValueError) as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = USAGE
    except OSError as error:  # the terminal or pipe is gone, or the disk behind it full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it once more when it exits
        with contextlib.suppress(OSError):
            print(f"wordmask: cannot write: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(prog="wordmask", description="Words in, masks out.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="segment photos with a list of words")
    build = commands.add_parser("build", help="make a bundle of ONNX graphs from checkpoints")
    evaluation = commands.add_parser("eval", help="measure a bundle's quality on labelled pictures")
    comparison = commands.add_parser("compare", help="show one photo with bilinear upsampling and with LoftUp")
    bench = commands.add_parser("bench", help="measure speed and memory against PyTorch eager")
    engines = commands.add_parser("engines", help="build a bundle's TensorRT engines for this machine's GPU")
    inspection = commands.add_parser("inspect", help="show a bundle's graphs and TensorRT engines")
    demo = commands.add_parser("demo", help="serve a local page to try photos and words on")
    conversion = commands.add_parser("convert", help="put a run's results into a format that other tools read")
    features = commands.add_parser("features", help="features of photos, upsampled by LoftUp")
    triton = commands.add_parser("triton", help="write a bundle as a model repository for NVIDIA Triton")
    doctor = commands.add_parser("doctor", help="look whether all that a run needs is here and works")
    from wordmask.demo_cli import add_demo_arguments, run_demo
    from wordmask.features_cli import add_features_arguments, run_features
    from wordmask.inspect import add_inspect_arguments, run_inspect
    from wordmask_bench.bench_cli import add_bench_arguments
    from wordmask_bench.cli import add_eval_arguments, run_eval
    from wordmask_bench.compare_cli import add_compare_arguments, run_compare
    from wordmask_export.cli import add_build_arguments, add_engines_arguments

    add_run_arguments(run)
    run.set_defaults(command=run_run)
    add_build_arguments(build)
    build.set_defaults(command=run_build)
    add_engines_arguments(engines)
    engines.set_defaults(command=run_engines)
    add_inspect_arguments(inspection)
    inspection.set_defaults(command=run_inspect)
    add_convert_arguments(conversion)
    conversion.set_defaults(command=run_convert)
    add_features_arguments(features)
    features.set_defaults(command=run_features)
    add_triton_arguments(triton)
    triton.set_defaults(command=run_triton)
    add_demo_arguments(demo)
    demo.set_defaults(command=run_demo)
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=run_doctor)
    add_eval_arguments(evaluation)
    evaluation.set_defaults(command=run_eval)
    add_compare_arguments(comparison)
    comparison.set_defaults(command=run_compare)
    add_bench_arguments(bench)
    bench.set_defaults(command=run_bench)
    return parser


def run_build(args: argparse.Namespace) -> int:
    """`wordmask build`."""
    from wordmask import extras

    extras.need("wordmask build", "export", extras.BUILD)
    if args.tensorrt:
        extras.need("wordmask build --tensorrt", "trt", extras.ENGINES)
    from wordmask_export import cli

    status: int = cli.run_build(args)
    return status


def run_engines(args: argparse.Namespace) -> int:
    """`wordmask engines`."""
    from wordmask import extras
    from wordmask.bundle.search import find_bundle

    args.bundle = find_bundle(args.bundle)
    compares = args.debug is not None or args.compare
    extras.need("wordmask engines", "trt", extras.ENGINES + (extras.POLYGRAPHY if compares else ()))
    from wordmask_export import cli

    status: int = cli.run_engines(args)
    return status


def run_bench(args: argparse.Namespace) -> int:
    """`wordmask bench`."""
    from wordmask import extras

    extras.need("wordmask bench", "export", extras.BUILD)
    from wordmask_bench import bench_cli

    status: int = bench_cli.run_bench(args)
    return status


def run_doctor(args: argparse.Namespace) -> int:
    """`wordmask doctor`."""
    from wordmask import doctor

    return doctor.run(as_json=args.json)


if __name__ == "__main__":
    sys.exit(main())
