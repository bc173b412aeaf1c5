"""The refinement's graph: against the published formulation in torch, and the file that the runtime ships."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask import Options, Segmenter
from wordmask.dense import pamr
from wordmask.dense.classmap import classify
from wordmask.dense.pamr import load_pamr, refined_bands
from wordmask.dense.windows import resize_for_clip
from wordmask.photo.reading import decode
from wordmask.resize import bilinear
from wordmask.text.vocabulary import Vocabulary
from wordmask.timing import StageTimer

STEPS, DISTANCES = 10, (8, 16)  # SCLIP's


@pytest.fixture(scope="module")
def graph():
    return load_pamr(threads=1)


def scene(height, width, words=3):
    """A photo of three flat areas with a little noise, and random similarities at half its size."""
    random = np.random.default_rng(height)
    photo = np.zeros((height, width, 3))
    photo[: height // 2], photo[height // 2 :, : width // 3] = (200, 60, 40), (30, 90, 180)
    photo = (photo + random.integers(0, 20, photo.shape)).astype(np.uint8)
    return photo, random.uniform(-1, 1, (words, height // 2, width // 2)).astype(np.float32)


def published(guidance, scores):
    """Araslanov and Roth's formulation on f64 (1, 3, H, W) and (1, C, H, W), by gathered neighbours."""
    import torch
    import torch.nn.functional as F

    def around(maps, centre):
        found = []
        for distance in DISTANCES:
            padded = F.pad(maps, [distance] * 4, mode="replicate")
            patches = F.unfold(padded, 3, dilation=distance).unflatten(1, (maps.shape[1], 9))
            kept = patches if centre else patches[:, :, [0, 1, 2, 3, 5, 6, 7, 8]]
            found.append(kept.unflatten(3, maps.shape[2:]))
        return torch.cat(found, dim=2)  # (1, channels, neighbours, H, W)

    deviation = around(guidance, centre=True).std(2, keepdim=True)
    difference = (around(guidance, centre=False) - guidance[:, :, None]).abs()
    weights = (-difference / (1e-8 + 0.1 * deviation)).mean(1, keepdim=True).softmax(2)
    for _ in range(STEPS):
        scores = (around(scores, centre=False) * weights).sum(2)
    return scores


@pytest.mark.parametrize("size", [(50, 71), (20, 24)], ids=["landscape", "smaller-than-the-reach"])
def test_it_computes_the_published_refinement(graph, size):
    """In single precision: within 2e-5 of double (weights are exponentials of up to 100)."""
    torch = pytest.importorskip("torch")
    photo, scores = scene(*size)
    guidance = photo.transpose(2, 0, 1).astype(np.float64)
    scores = bilinear(scores, size)
    expected = published(torch.from_numpy(guidance)[None], torch.from_numpy(scores)[None].double())[0].numpy()
    found = graph.run({"guidance": guidance.astype(np.float32), "logits": scores})["refined"]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    assert np.abs(expected - scores).max() > 0.5


def test_a_photo_without_any_contrast_is_smoothed_and_stays_finite(graph):
    scores = scene(40, 40)[1] + 3
    found = graph.run({"guidance": np.full((3, 20, 20), 7, np.float32), "logits": scores})["refined"]
    assert found.std() < 0.2 * scores.std()
    np.testing.assert_allclose(found.mean(), 3, atol=0.2)


def test_bands_give_what_the_whole_photo_gives(monkeypatch, graph):
    size = (700, 40)
    photo, scores = scene(*size, words=5)
    (whole,) = refined_bands(graph, scores, photo, size)
    monkeypatch.setattr(pamr, "BAND_PIXELS", 1)
    bands = list(refined_bands(graph, scores, photo, size))
    assert len(bands) == 5
    np.testing.assert_allclose(np.concatenate(bands, axis=1), whole, atol=1e-6)


def test_the_shipped_graph_is_what_the_exporter_writes():
    pytest.importorskip("onnx")
    from wordmask_export.graphs.pamr import build

    assert pamr.FILE.read_bytes() == build().SerializeToString(deterministic=True)


def test_the_class_map_is_that_of_the_refined_similarities(monkeypatch, graph):
    """SCLIP refines at the photo's size, before the scale and the softmax over all words."""
    segmenter = Segmenter("tiny", threads=1)
    photo = decode("examples/scenes/01.png")[:300, :360]
    queries = segmenter.embed(Vocabulary.parse(["red striped, red", "blue"], ["green"]))
    options = Options(pamr=True, use_loftup=False)
    similarities = segmenter.similarities(photo, queries, options)
    monkeypatch.setattr(pamr, "BAND_PIXELS", 1)
    timer = StageTimer()
    found = segmenter.class_map(photo, queries, options, timer)
    monkeypatch.undo()
    constants = segmenter.manifest.clip
    resized = resize_for_clip(photo, constants)
    (refined,) = refined_bands(graph, similarities, resized, photo.shape[:2])
    expected = classify(refined, queries.class_starts, photo.shape[:2], constants.logit_scale)
    assert (found.index == expected.index).mean() > 0.9999
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-4)
    np.testing.assert_allclose(found.best, expected.best, atol=1e-4)
    plain = classify(similarities, queries.class_starts, photo.shape[:2], constants.logit_scale)
    assert 0.001 < (found.index != plain.index).mean() < 0.3
    assert "pamr" in timer.seconds


def test_refining_that_begins_after_the_segmenter_was_cancelled_ends_with_an_error():
    segmenter = Segmenter("tiny", threads=1)
    photo, scores = scene(40, 40)
    segmenter.cancel()
    with pytest.raises(Exception, match="terminate"):
        list(refined_bands(segmenter._pamr, scores, photo, (40, 40)))
