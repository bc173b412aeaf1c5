"""What the driver of a run on a cluster needs of a bundle: all but the photos' graphs, which its workers load."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wordmask.backends.device import parse_device
from wordmask.backends.lazy import LazyGraph
from wordmask.backends.load import load_graph
from wordmask.bundle.opening import open_bundle
from wordmask.pipeline import Segmenter


def open_head(name: str | Path | None, *, device: str, upsampler_device: str | None, threads: int | None) -> Segmenter:
    """A segmenter that embeds words, on this machine's processor, and knows what the workers' will do. Takes no photo.

    Args: see Segmenter; the devices are the workers'.

    Raises:
        BundleError: the bundle is missing or damaged.
        DeviceError: a device's name is none.
    """
    bundle, cpu = open_bundle(name), parse_device("cpu")
    places = parse_device(device), parse_device(upsampler_device or device)
    text = LazyGraph(partial(load_graph, bundle, "clip_text", cpu, threads=threads))
    on_cpu = "loftup" in bundle.manifest.graphs and places[1].on_cpu
    return Segmenter.from_graphs(bundle, {"clip_text": text}, on_cpu=on_cpu, threads=threads)
