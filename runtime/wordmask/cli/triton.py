"""`wordmask triton`: the options. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from wordmask.cli.arguments import add_tensorrt_precision


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask triton`."""
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of the models")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the model repository")
    parser.add_argument("--name", default="wordmask", help="of the model that clients call (%(default)s)")
    add = (graphs := parser.add_argument_group("graphs")).add_argument
    add("--device", choices=("gpu", "cpu"), default="gpu", help="that runs the graphs (%(default)s)")
    add("--engines", action="store_true", help="serve the bundle's TensorRT engines for this machine, not its graphs")
    add_tensorrt_precision(graphs)
    add("--gpu", type=int, default=0, help="the GPU of this machine that the engines are for (%(default)s)")
    add("--max-batch", type=int, help="windows or photos in the server's largest batch (8; 1 on a CPU)")
    add("--instances", type=int, default=1, help="copies of each graph on every GPU (%(default)s)")
    add = parser.add_argument_group("Python model").add_argument
    add("--workers", type=int, default=4, help="processes that decode photos and make prompts and masks (%(default)s)")
    add("--in-flight", type=int, default=2, metavar="N", help="photos at the same time in each of them (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask triton`; gives the exit status."""
    from wordmask.bundle.opening import open_bundle
    from wordmask.triton.repository import EngineChoice, Layout, write_repository

    on_cpu = args.device == "cpu"
    if args.engines and on_cpu:
        raise ValueError("--engines run on a GPU: leave out --device cpu")
    layout = Layout(
        name=args.name,
        on_cpu=on_cpu,
        max_batch=(1 if on_cpu else 8) if args.max_batch is None else args.max_batch,
        instances=args.instances,
        workers=args.workers,
        in_flight=args.in_flight,
    )
    engines = None
    if args.engines:
        from wordmask.backends.tensorrt.cuda import target_of

        engines = EngineChoice(args.tensorrt_precision, target_of(args.gpu)[0])
    serving = write_repository(open_bundle(args.bundle), args.out, layout, engines)
    print(f"{args.out}: the model {args.name} and {len(serving.graphs)} graphs; docs/serving.md says how to serve it")
    return 0
