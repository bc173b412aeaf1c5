"""What the driver of a run on a cluster needs of a bundle: all but the graphs that process photos. Imports no Ray."""

from __future__ import annotations

from functools import partial

from wordmask.backends.device import parse_device
from wordmask.backends.lazy import LazyGraph
from wordmask.backends.load import load_graph
from wordmask.bundle.opening import PipelineBundle
from wordmask.loading import upsampling, uses_loftup
from wordmask.run.request import SegmenterInfo
from wordmask.text.embedder import WordEmbedder
from wordmask.text.queries import Queries
from wordmask.types import Options, Vocabulary


def describe_bundle(bundle: PipelineBundle, options: Options, upsampler_device: str) -> SegmenterInfo:
    """What the workers' segmenters will do. Loads no graph.

    Raises:
        BundleError: the options ask for LoftUp, and the bundle has none.
        DeviceError: the device has no valid name.
    """
    on_cpu = parse_device(upsampler_device).on_cpu and "loftup" in bundle.manifest.graphs
    return SegmenterInfo(bundle.manifest, uses_loftup(bundle, options), upsampling(options, on_cpu=on_cpu))


def embed_on_cpu(bundle: PipelineBundle, vocabulary: Vocabulary, *, threads: int | None) -> Queries:
    """Embeds a vocabulary on this machine's CPU; loads the text graph if a word is not in the cache."""
    graph = LazyGraph(partial(load_graph, bundle, "clip_text", parse_device("cpu"), threads=threads))
    return WordEmbedder.of_bundle(bundle, graph).embed(vocabulary)
