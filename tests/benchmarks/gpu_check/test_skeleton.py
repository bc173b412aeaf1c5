"""Bundles without weights, and bundles made of them."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
import onnx
from onnx import numpy_helper

from wordmask import Segmenter
from wordmask.bundle.opening import open_bundle
from wordmask_bench.gpu_check.skeleton import SMALL, fill, pack


@pytest.fixture(scope="module")
def filled(small_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("skeleton")
    pack(small_bundle, folder / "skeleton")
    fill(folder / "skeleton", folder / "filled")
    return folder


def weights(path):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def test_a_skeleton_has_hardly_any_of_the_bytes(filled, small_bundle):
    graph = open_bundle(small_bundle).manifest.graphs["clip_text"].file
    assert (filled / "skeleton" / graph).stat().st_size < 0.2 * (small_bundle / graph).stat().st_size


def test_large_weights_are_drawn_with_their_mean_and_deviation_and_small_ones_kept(filled, small_bundle):
    for entry in open_bundle(small_bundle).manifest.graphs.values():
        before, after = weights(small_bundle / entry.file), weights(filled / "filled" / entry.file)
        assert before.keys() == after.keys()
        for name, value in before.items():
            drawn = after[name]
            assert (drawn.shape, drawn.dtype) == (value.shape, value.dtype)
            if value.dtype != np.float32 or value.nbytes <= SMALL:
                np.testing.assert_array_equal(drawn, value)
            else:
                assert abs(drawn.mean() - value.mean()) <= 0.2 * value.std() + 1e-6
                assert abs(drawn.std() - value.std()) <= 0.2 * value.std() + 1e-6


def test_a_filled_bundle_is_a_bundle(filled):
    result = Segmenter(filled / "filled")(np.zeros((96, 128, 3), np.uint8), ["cat", "wall"])
    assert result.dense.shape == (96, 128)
    assert open_bundle(filled / "filled").manifest.domain == "random"
