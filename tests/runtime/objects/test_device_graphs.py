"""SAM2's square made by the graph for GPUs, run on the CPU, is the one made on the host."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.backends import run_to_host
from wordmask.backends.device import parse_device
from wordmask.objects import device_graphs
from wordmask.objects.device_graphs import load_square, square_inputs
from wordmask.objects.sam2 import encode_photo, resize_for_sam2


@pytest.fixture(scope="module")
def graph():
    return load_square(parse_device("cpu"))


def photo(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(120, 180), (375, 200), (64, 64), (17, 90), (1, 1), (700, 3)])
def test_the_square_is_the_hosts(graph, size):
    found = run_to_host(graph, square_inputs(photo(*size), 64))["square"]
    assert found.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(found[0], resize_for_sam2(photo(*size), 64), atol=1e-4)  # single precision at 255


def test_a_photo_that_would_take_too_much_memory_is_resized_on_the_host(graph, monkeypatch):
    class Encoder:
        def run(self, inputs, keep):
            self.image = inputs["image"]
            return dict.fromkeys(keep)

    encoder, picture = Encoder(), photo(90, 70)
    gathered = square_inputs(picture, 64)["rows"].size * 70 * 3 * 4
    monkeypatch.setattr(device_graphs, "MAX_BYTES", gathered)
    assert square_inputs(picture, 64) is not None
    monkeypatch.setattr(device_graphs, "MAX_BYTES", gathered - 1)
    assert square_inputs(picture, 64) is None
    encoded = encode_photo(encoder, picture, 64, graph)
    np.testing.assert_array_equal(encoder.image[0], resize_for_sam2(picture, 64))
    assert encoded.size == (90, 70)


def test_the_photo_is_handed_to_the_device_in_bytes_and_its_square_stays_there():
    class Graph:
        def __init__(self, answer):
            self.answer, self.calls = answer, []

        def run(self, inputs, keep):
            self.calls.append((inputs, keep))
            return dict.fromkeys(keep, self.answer)

    square, encoder = Graph("square on the device"), Graph(None)
    encode_photo(encoder, photo(90, 70), 64, square)
    ((inputs, keep),) = square.calls
    assert (inputs["photo"].dtype, inputs["photo"].shape, keep) == (np.uint8, (90, 70, 3), ("square",))
    assert encoder.calls[0][0] == {"image": "square on the device"}
