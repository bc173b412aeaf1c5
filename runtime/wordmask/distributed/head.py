"""What the driver of a run on a cluster needs of a bundle: all but the photos' graphs, which its workers load."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from wordmask.backends.device import parse_device
from wordmask.backends.late import LateGraph
from wordmask.backends.load import load_graph
from wordmask.bundle import open_bundle, user_cache
from wordmask.pipeline import Segmenter
from wordmask.words import WordEmbedder


class Head(Segmenter):
    """Embeds words, on this machine's processor, and knows what the workers' segmenters will do. Takes no photo."""

    def __init__(
        self, name: str | Path | None, *, device: str, upsampler_device: str | None, threads: int | None
    ) -> None:
        """Args: see Segmenter; the devices are the workers'.

        Raises:
            BundleError: the bundle is missing or damaged.
            DeviceError: a device's name is none.
        """
        self.bundle = open_bundle(name)
        manifest, cpu = self.manifest, parse_device("cpu")
        places = parse_device(device), parse_device(upsampler_device or device)
        self._tiles_on_cpu = "loftup" in manifest.graphs and places[1].on_cpu
        text = LateGraph(partial(load_graph, self.bundle, "clip_text", cpu, threads=threads))
        merges, cache = self.bundle.path(manifest.clip.merges), user_cache() / "words" / manifest.bundle_id
        self._embedder = WordEmbedder(text, merges, manifest.clip, cache)
