"""SAM2's encoder and decoder modules against SAM2ImagePredictor, on a small model with random weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wordmask_export.graphs.sam2 import Decoder, Encoder  # noqa: E402
from wordmask_export.models.pipeline import image_predictor  # noqa: E402
from wordmask_export.parity.pipeline import encoder_maps, predict  # noqa: E402

NAMES = ("image_embed", "high_res_0", "high_res_1")


@pytest.fixture(scope="module")
def square():
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor(small_models, square):
    found = image_predictor(small_models.sam2)
    found.set_image(square)
    return found


def decode(small_models, predictor, coords, labels, multimask):
    maps = encoder_maps(predictor)
    prompts = {
        "point_coords": np.asarray(coords, np.float32),
        "point_labels": np.tile(np.asarray(labels, np.int32), (len(coords), 1)),
        "multimask": np.full(len(coords), multimask, np.int32),
    }
    with torch.inference_mode():
        found = Decoder(small_models.sam2)(
            *(torch.from_numpy(maps[name]) for name in NAMES), *(torch.from_numpy(p) for p in prompts.values())
        )
        return [value.numpy() for value in found], predict(predictor, prompts)


def test_encoder_equals_the_predictor(small_models, predictor, square):
    with torch.inference_mode():
        found = Encoder(small_models.sam2)(torch.from_numpy(square[None]))
    expected = encoder_maps(predictor)
    for name, value in zip(NAMES, found, strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "multimask"),
    [((1,), 1), ((1,), 0), ((1, 1, 0), 0), ((1, 0), 1), ((2, 3), 0), ((2, 3, 1), 0), ((2, 3, 1, 0), 1)],
    ids=["click", "click-single", "points", "points-multi", "box", "box-and-click", "all"],
)
def test_decoder_equals_the_predictor(small_models, predictor, labels, multimask):
    coords = np.random.default_rng(1).uniform(0, 256, (5, len(labels), 2))
    found, expected = decode(small_models, predictor, coords, labels, multimask)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_an_unstable_single_mask_gives_way_to_the_best_of_three(small_models, predictor):
    coords = np.random.default_rng(2).uniform(0, 256, (4, 2, 2))
    decoder = small_models.sam2.sam_mask_decoder
    threshold = decoder.dynamic_multimask_stability_thresh
    results = []
    try:
        for value in (0.0, 1.1):  # always stable, never stable
            decoder.dynamic_multimask_stability_thresh = value
            found, expected = decode(small_models, predictor, coords, (1, 1), 0)
            np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
            results.append(found[0])
    finally:
        decoder.dynamic_multimask_stability_thresh = threshold
    assert np.abs(results[0] - results[1]).max() > 1e-3


def test_prompts_do_not_influence_each_other(small_models, predictor):
    coords = np.random.default_rng(3).uniform(0, 256, (6, 1, 2))
    together, _ = decode(small_models, predictor, coords, (1,), 1)
    alone, _ = decode(small_models, predictor, coords[4:5], (1,), 1)
    np.testing.assert_allclose(together[0][4:5], alone[0], atol=1e-5)
