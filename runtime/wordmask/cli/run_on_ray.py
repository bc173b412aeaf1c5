"""`wordmask run --ray`: its options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from wordmask.cli.run_one_picture import one_picture
from wordmask.photo.url import Url

if TYPE_CHECKING:
    from wordmask.outputs.summary import Totals
    from wordmask.photo.job import Job
    from wordmask.pipeline import Segmenter
    from wordmask.run.photo_work import Writing
    from wordmask.text.queries import Queries
    from wordmask.types import Options

RAY_GRACE = 5.0  # seconds between a signal and the end of the process: what is done may have to be written far away


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a run on a cluster."""
    add = parser.add_argument_group("on a cluster of Ray, or from and to URLs such as s3://bucket/folder").add_argument
    add("--ray", nargs="?", const="local", metavar="ADDRESS", help="of a cluster; without, one of this machine alone")
    add("--workers", type=int, default=1, metavar="N", help="processes with a segmenter each (%(default)s)")
    add("--gpus-per-worker", type=float, default=0.0, metavar="F", help="such as 1, or 0.5 (%(default)s)")


def check_ray_arguments(args: argparse.Namespace) -> None:
    """Raises MissingExtraError where Ray is not installed, ValueError for a URL without it."""
    urls = [str(place) for place in (*args.photos, *args.image, args.output) if isinstance(place, Url)]
    if args.ray is None:
        if urls:
            raise ValueError(f"{urls[0]} is a URL: it is read and written with --ray")
        if args.workers != 1 or args.gpus_per_worker:
            raise ValueError("--workers and --gpus-per-worker belong to --ray: add it, or leave them out")
        return
    if args.report:
        raise ValueError("--report is made from a local folder: run without it on a cluster, then with it here")
    if one_picture(args):
        raise ValueError(f"--output {args.output} is a picture of one photo: leave --ray out, or name a folder")
    from wordmask import extras
    from wordmask.backends.device import parse_device

    devices = (args.device, args.upsampler_device or args.device)
    if not args.gpus_per_worker and not all(parse_device(device).on_cpu for device in devices):
        raise ValueError(
            f"--device {args.device} on a cluster takes GPUs: say how many with --gpus-per-worker, such as 1"
        )
    extras.need("wordmask run --ray", "ray", extras.RAY)


def ray_head(args: argparse.Namespace, bundle: str | Path | None) -> Segmenter:
    """What the driver needs of the bundle."""
    from wordmask.distributed.driver_segmenter import open_head

    return open_head(bundle, device=args.device, upsampler_device=args.upsampler_device, threads=args.threads)


def run_ray(
    head: Segmenter,
    jobs: list[Job],
    queries: Queries,
    options: Options,
    args: argparse.Namespace,
    *,
    writing: Writing,
    settings: dict[str, Any],
    stop: Event,
    tell: Callable[[str], None],
    progress: Callable[[int], None],
) -> Totals:
    """Does what wordmask.run.local does, on a cluster."""
    from wordmask.backends.onnxruntime.graph import default_threads
    from wordmask.distributed.cluster import Crew, connected
    from wordmask.run.execution import Run, all_settings, facts

    run = Run(
        jobs,
        queries.vocabulary.names,
        all_settings(head, options, writing, lenient=args.lenient, others=settings),
        facts(head, options),
        writing.kinds,
        args.restart,
        args.retry_quarantined,
        tell,
        progress,
    )
    crew = Crew(args.ray, args.workers, args.threads, args.gpus_per_worker)
    with connected(crew, default_threads()) as nodes:
        from wordmask.distributed.driver import run_on_cluster, store_at
        from wordmask.distributed.worker import Engine, Errand

        engine = Engine(
            head.bundle.folder.absolute(),
            args.bundle,
            head.manifest.bundle_id,
            args.device,
            args.upsampler_device,
            crew.placed(nodes),
            args.tensorrt_precision,
        )
        out = store_at(args.output)
        errand = Errand(engine, Path.cwd(), queries, options, out, writing, args.lenient, args.in_flight)
        return run_on_cluster(run, errand, crew, stop)
