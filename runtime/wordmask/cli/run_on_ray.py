"""`wordmask run --ray`: its options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from wordmask.cli.run_one_picture import one_picture
from wordmask.photo.url import Url

if TYPE_CHECKING:
    from wordmask.bundle.opening import PipelineBundle
    from wordmask.outputs.run_record import RunRecord
    from wordmask.run.request import RunControl, RunRequest, SegmenterInfo
    from wordmask.text.queries import Queries
    from wordmask.text.vocabulary import Vocabulary
    from wordmask.types import Options

RAY_SHUTDOWN_TIMEOUT = 5.0  # seconds between a signal and the end of the process: results may have to be uploaded


def add_ray_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a run on a cluster."""
    add = parser.add_argument_group("cluster (Ray), and URLs such as s3://bucket/folder").add_argument
    text = "address of a running cluster (default: a new one on this machine)"
    add("--ray", nargs="?", const="local", metavar="ADDRESS", help=text)
    add("--workers", type=int, default=1, metavar="N", help="processes, each with its own models (%(default)s)")
    text = "GPUs, or a fraction of one such as 0.5 (%(default)s)"
    add("--gpus-per-worker", type=float, default=0.0, metavar="F", help=text)


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
    from wordmask.backends.auto import AUTO
    from wordmask.backends.device import parse_device

    if args.device == AUTO:
        raise ValueError("--device auto is of this machine: name the device of the cluster's workers")
    devices = [parse_device(device) for device in (args.device, args.upsampler_device or args.device)]
    if not args.gpus_per_worker and not all(device.on_cpu for device in devices):
        raise ValueError(
            f"--device {args.device} on a cluster takes GPUs: say how many with --gpus-per-worker, such as 1"
        )
    extras.need("wordmask run --ray", "ray", extras.RAY)


def prepare_on_ray(
    args: argparse.Namespace, name: str | Path | None, options: Options, vocabulary: Vocabulary
) -> tuple[Queries, Callable[[RunRequest, RunControl], RunRecord]]:
    """Opens the bundle and embeds the words on this machine.

    Returns:
        The embedded words, and what wordmask.run.local.run_folder is on one machine.

    Raises:
        BundleError: the bundle cannot be used, or does not fit the options.
    """
    from wordmask.bundle.domains import DOMAINS, warn_of_weights
    from wordmask.bundle.opening import open_bundle
    from wordmask.run.request import SegmenterInfo
    from wordmask.text.embedder import WordEmbedder

    bundle = open_bundle(name)
    warn_of_weights(bundle.manifest.bundle_id, DOMAINS.get(bundle.manifest.domain))  # segmenters are elsewhere
    info = SegmenterInfo.of_bundle(bundle, options, args.upsampler_device or args.device)
    queries = WordEmbedder.on_cpu(bundle, threads=args.threads).embed(vocabulary)
    return queries, partial(_run, args, bundle, info)


def _run(
    args: argparse.Namespace, bundle: PipelineBundle, info: SegmenterInfo, request: RunRequest, control: RunControl
) -> RunRecord:
    from wordmask.bundle.hub import pinned
    from wordmask.distributed.cluster import ClusterResources, connected
    from wordmask.system.limits import processors

    resources = ClusterResources(args.ray, args.workers, args.threads, args.gpus_per_worker)
    with connected(resources, processors()) as nodes:
        from wordmask.distributed.driver import run_on_cluster
        from wordmask.distributed.worker import SegmenterLoader

        loader = SegmenterLoader(
            bundle.folder.absolute(),
            pinned(args.bundle, bundle.folder),
            bundle.manifest.bundle_id,
            args.device,
            args.upsampler_device,
            resources.threads_per_worker(nodes),
            args.tensorrt_precision,
        )
        return run_on_cluster(request, info, loader, resources, control)
