"""SAM2's encoder and decoder modules against SAM2ImagePredictor, on a small model with random weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wordmask.bundle.manifest import Sam2  # noqa: E402
from wordmask.objects.mask_choice import Candidates, choose_as_sam2  # noqa: E402
from wordmask.types import Prompt  # noqa: E402
from wordmask_export.graphs.sam2 import Decoder, Encoder  # noqa: E402
from wordmask_export.models.pipeline import encoder_maps, image_predictor  # noqa: E402
from wordmask_export.parity.pipeline import predict_all  # noqa: E402

NAMES = ("image_embed", "high_res_0", "high_res_1")


@pytest.fixture(scope="module")
def square():
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def predictor(small_models, square):
    found = image_predictor(small_models.sam2)
    found.set_image(square)
    return found


def decode(small_models, predictor, coords, labels):
    """The graph's four masks and their IoU, and the predictor's."""
    maps = encoder_maps(predictor)
    prompts = {
        "point_coords": np.asarray(coords, np.float32),
        "point_labels": np.tile(np.asarray(labels, np.int32), (len(coords), 1)),
    }
    with torch.inference_mode():
        found = Decoder(small_models.sam2)(
            *(maps[name] for name in NAMES), *(torch.from_numpy(p) for p in prompts.values())
        )
        return [value.numpy() for value in found], predict_all(predictor, prompts)


def test_encoder_equals_the_predictor(small_models, predictor, square):
    with torch.inference_mode():
        found = Encoder(small_models.sam2)(torch.from_numpy(square[None].astype(np.float32)))
    expected = encoder_maps(predictor)
    for name, value in zip(NAMES, found, strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-5)


@pytest.mark.parametrize(
    "labels",
    [(1,), (1, 1, 0), (1, 0), (2, 3), (2, 3, 1), (2, 3, 1, 0)],
    ids=["click", "points", "point and negative", "box", "box and click", "all"],
)
def test_the_decoders_four_masks_are_the_references(small_models, predictor, labels):
    coords = np.random.default_rng(1).uniform(0, 256, (5, len(labels), 2))
    found, expected = decode(small_models, predictor, coords, labels)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "threshold"),
    [((1,), 0.98), ((1, 1), 0.0), ((1, 1), 0.98), ((1, 1), 1.1)],
    ids=["click", "always stable", "as published", "never stable"],
)
def test_the_mask_chosen_is_the_one_that_sam2image_predictor_gives(small_models, predictor, labels, threshold):
    coords = np.random.default_rng(2).uniform(0, 256, (4, len(labels), 2)).astype(np.float32)
    kinds = np.tile(np.array(labels, np.int32), (4, 1))
    (masks, iou), _ = decode(small_models, predictor, coords, labels)
    prompts = [Prompt(0, points, kind, 1.0, 1) for points, kind in zip(coords, kinds, strict=True)]
    choice = choose_as_sam2(Candidates(masks, iou), prompts, Sam2(256, 64, 0.0, 0.05, threshold))
    decoder = small_models.sam2.sam_mask_decoder
    published = decoder.dynamic_multimask_stability_thresh
    decoder.dynamic_multimask_stability_thresh = threshold
    try:
        _, scores, expected = predictor._predict(
            torch.from_numpy(coords), torch.from_numpy(kinds), multimask_output=len(labels) == 1
        )
    finally:
        decoder.dynamic_multimask_stability_thresh = published
    rows, best = np.arange(4), scores.argmax(1).numpy()
    # the predictor clamps its low-resolution logits
    np.testing.assert_allclose(masks[rows, choice].clip(-32, 32), expected.numpy()[rows, best], atol=1e-5)
    np.testing.assert_allclose(iou[rows, choice], scores.numpy()[rows, best], atol=1e-6)


def test_prompts_do_not_influence_each_other(small_models, predictor):
    coords = np.random.default_rng(3).uniform(0, 256, (6, 1, 2))
    together, _ = decode(small_models, predictor, coords, (1,))
    alone, _ = decode(small_models, predictor, coords[4:5], (1,))
    np.testing.assert_allclose(together[0][4:5], alone[0], atol=1e-5)


@pytest.mark.parametrize("labels", [(1,), (2, 3, 1)], ids=["click", "box and click"])
def test_masks_of_a_prompt_with_a_mask_are_those_of_sam2image_predictor(small_models, predictor, labels):
    rng = np.random.default_rng(4)
    coords = torch.from_numpy(rng.uniform(0, 256, (3, len(labels), 2)).astype(np.float32))
    kinds = torch.tensor(labels, dtype=torch.int32).expand(3, -1)
    given = torch.from_numpy(rng.normal(0, 6, (3, 1, 64, 64)).astype(np.float32))
    maps = encoder_maps(predictor)
    with torch.inference_mode():
        masks, iou = Decoder(small_models.sam2)(*(maps[name] for name in NAMES), coords, kinds, given)
        _, scores, expected = predictor._predict(coords, kinds, mask_input=given, multimask_output=True)
        _, _, without = predictor._predict(coords, kinds, multimask_output=True)
    np.testing.assert_allclose(masks[:, 1:].clip(-32, 32), expected, atol=1e-5)
    np.testing.assert_allclose(iou[:, 1:], scores, atol=1e-6)
    assert (expected - without).abs().max() > 1e-3
