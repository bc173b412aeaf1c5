"""LoftUp's tables and tiles: the same function as the module, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import HALO
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.dense.loftup import SCORE_BYTES, Canvas, Tiling, Upsampler, upsample_logits
from wordmask.dense.loftup_tables import linspace, tables

WHOLE = Tiling(side=512, batch=8)


@pytest.fixture(scope="module", params=["loftup", "loftup_cpu"])
def loftup_graph(small_bundle, request):
    entry = read_manifest(small_bundle).graphs[request.param]
    return OrtGraph(small_bundle / entry.file, entry, device="cpu")


@pytest.fixture(scope="module")
def constants(small_bundle):
    return read_manifest(small_bundle).loftup


def case(batch=1, grid=(4, 4), size=(64, 64), words=5, seed=0):
    rng = np.random.default_rng(seed)
    text = rng.standard_normal((words, 48)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    features = rng.standard_normal((batch, 48, *grid), dtype=np.float32)
    return features, rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8), text


@pytest.mark.parametrize("count", [1, 2, 7, 14, 224, 1000, 2048])
def test_linspace_gives_torchs_single_precision_numbers(count):
    torch = pytest.importorskip("torch")
    np.testing.assert_array_equal(linspace(count), torch.linspace(-1, 1, count).numpy())


def test_the_colour_table_holds_every_bytes_waves_and_value(constants):
    guidance = np.array([[[[10, 0, 7], [60, 255, 7]]]], np.uint8)  # blue is flat
    colour = tables(guidance, (1, 1), constants).colour
    assert colour.shape == (1, 3, 256, 41)
    np.testing.assert_allclose(colour[0, 0, [10, 60], 40], [-0.5, 0.5])
    np.testing.assert_allclose(colour[0, 2, 7, 40], -0.5)
    value, frequency = 35.0 / 50 - 0.2 - 0.5, constants.frequencies[19]  # byte 35 of red: (35 - 10) / 50 - 0.5
    phase = constants.phases[0][19][2]
    np.testing.assert_allclose(colour[0, 0, 35, 19], np.sin(value * frequency + phase), atol=1e-6)


@pytest.mark.parametrize(("grid", "size"), [((4, 4), (64, 64)), ((3, 5), (41, 73)), ((1, 1), (16, 16))])
def test_logits_equal_the_published_function(loftup_graph, constants, small_models, grid, size):
    torch = pytest.importorskip("torch")
    features, guidance, text = case(batch=2, grid=grid, size=size)
    found = upsample_logits(Upsampler(loftup_graph, constants, WHOLE), features, guidance, text)
    module = small_models.loftup.double()
    dense = np.concatenate(
        [
            module(torch.from_numpy(f)[None].double(), torch.from_numpy(g)[None].permute(0, 3, 1, 2)).numpy()
            for f, g in zip(features, guidance, strict=True)
        ]
    )
    module.float()
    unit = dense / np.linalg.norm(dense, axis=1, keepdims=True)
    np.testing.assert_allclose(found, np.einsum("bdhw,cd->bchw", unit, text), atol=1e-4)


@pytest.mark.parametrize("tiling", [Tiling(16, 1), Tiling(26, 4), Tiling(60, 3)])
def test_tiles_give_what_the_whole_gives(loftup_graph, constants, tiling):
    features, guidance, text = case(batch=2, grid=(4, 5), size=(63, 80))
    whole = upsample_logits(Upsampler(loftup_graph, constants, WHOLE), features, guidance, text)
    tiled = upsample_logits(Upsampler(loftup_graph, constants, tiling), features, guidance, text)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_only_tiles_with_a_wanted_pixel_are_evaluated(loftup_graph, constants):
    features, guidance, text = case(batch=2, size=(64, 64))
    whole = upsample_logits(Upsampler(loftup_graph, constants, WHOLE), features, guidance, text)
    bilinear = np.full_like(whole, 7.0)
    wanted = np.zeros((2, 64, 64), np.bool_)
    wanted[1, 40, 3] = True
    upsampler = Upsampler(loftup_graph, constants, Tiling(32, 8))
    found = upsample_logits(upsampler, features, guidance, text, bilinear=bilinear, wanted=wanted)
    expected = bilinear.copy()
    expected[1, :, 32:, :32] = whole[1, :, 32:, :32]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "grid"), [((1024, 1024), (64, 64)), ((2048, 1500), (128, 94)), ((600, 601), (37, 37))]
)
def test_tiles_are_as_small_as_the_attention_scores_demand(constants, size, grid):
    canvas = Canvas.of(np.zeros((1, *size, 3), np.uint8), grid, constants, 512)
    assert canvas.height * canvas.width * grid[0] * grid[1] * constants.heads * 4 <= SCORE_BYTES
    tiles = canvas.tiles()
    assert tiles[-1].rows.stop == size[0]
    assert tiles[-1].columns.stop == size[1]
    assert canvas.guidance.shape[1] == tiles[-1].rows.start + canvas.height + 2 * HALO
