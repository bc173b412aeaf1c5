"""LoftUp's tables and tiles: the same function as the module, at any size."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask import upsampler
from wordmask.backends.ort import OrtGraph
from wordmask.manifest import read_manifest
from wordmask.upsampler import linspace, tables, tile_side, upsample_logits


@pytest.fixture(scope="module")
def loftup_graph(small_bundle):
    entry = read_manifest(small_bundle).graphs["loftup"]
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


@pytest.mark.parametrize(("grid", "size"), [((4, 4), (64, 64)), ((3, 5), (40, 72)), ((1, 1), (16, 16))])
def test_logits_equal_the_published_function(loftup_graph, constants, small_models, grid, size):
    torch = pytest.importorskip("torch")
    features, guidance, text = case(batch=2, grid=grid, size=size)
    found = upsample_logits(loftup_graph, features, guidance, text, constants)
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


@pytest.mark.parametrize("tile", [16, 25, 60])
def test_tiles_give_what_the_whole_gives(loftup_graph, constants, monkeypatch, tile):
    features, guidance, text = case(batch=2, grid=(4, 5), size=(64, 80))
    whole = upsample_logits(loftup_graph, features, guidance, text, constants)
    monkeypatch.setattr(upsampler, "tile_side", lambda pixels, keys: tile)
    tiled = upsample_logits(loftup_graph, features, guidance, text, constants)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_large_guidance_is_tiled_so_that_the_scores_stay_bounded():
    assert tile_side(224 * 224, 14 * 14) is None
    for pixels, keys in ((1024 * 1024, 64 * 64), (2048 * 2048, 14 * 14), (600 * 600, 37 * 37)):
        side = tile_side(pixels, keys)
        assert side is not None
        assert (side + 2 * upsampler.HALO) ** 2 * keys * 16 <= upsampler.SCORE_BYTES
