"""A stop does not wait for the batch that is under way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest_reading import read_manifest

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"


def test_a_batch_under_way_ends_within_two_seconds():
    """Of 24 photos, which take four seconds and more; ONNX Runtime looks between two nodes whether it is to end."""
    manifest = read_manifest(TINY)
    entry, side = manifest.graphs["sam2_encoder"], manifest.sam2.image_size
    graph = OrtGraph(TINY / entry.file, entry, device="cpu", threads=1)
    graph.run({"image": np.zeros((1, side, side, 3), np.float32)})
    cancelled: list[float] = []

    def cancel():
        cancelled.append(time.monotonic())
        graph.cancel()

    timer = threading.Timer(0.1, cancel)
    timer.start()
    with pytest.raises(Exception, match="terminate flag"):
        graph.run({"image": np.zeros((24, side, side, 3), np.float32)})
    assert time.monotonic() - cancelled[0] < 2
    with pytest.raises(Exception, match="terminate flag"):  # nor does a later one begin
        graph.run({"image": np.zeros((1, side, side, 3), np.float32)})
