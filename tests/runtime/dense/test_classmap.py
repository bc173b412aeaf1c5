"""Stitching and classification against torch's interpolate and softmax."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from wordmask.dense import classmap
from wordmask.dense.classmap import classify
from wordmask.dense.similarities import PART_BYTES, BasisProjection
from wordmask.dense.stitching import stitch
from wordmask.resize import bilinear


def logits(words, height, width, seed=0):
    return np.random.default_rng(seed).uniform(-0.2, 0.4, (words, height, width)).astype(np.float32)


def probabilities_of(similarities, class_starts, size, logit_scale):
    """The protocol as it is written down, in double precision and all at once: (classes, H, W)."""
    exponents = bilinear(similarities, size).astype(np.float64) * logit_scale
    scores = np.exp(exponents - exponents.max(axis=0))
    return np.maximum.reduceat(scores / scores.sum(axis=0), list(class_starts), axis=0)


@pytest.mark.parametrize("size", [(120, 90), (33, 47), (60, 80)])
def test_probabilities_are_softmax_of_the_interpolated_similarities(size):
    torch = pytest.importorskip("torch")
    similarities = logits(6, 33, 47)
    found = classify(similarities, range(6), size, 40.0)
    resized = torch.nn.functional.interpolate(torch.from_numpy(similarities)[None], size=size, mode="bilinear")
    probabilities = (resized[0] * 40).softmax(0)
    expected, index = probabilities.max(0)
    np.testing.assert_allclose(found.confidence, expected, atol=1e-4)
    sure = (probabilities.topk(2, dim=0).values.diff(dim=0).abs() > 1e-4)[0].numpy()
    np.testing.assert_array_equal(found.index[sure], index.numpy()[sure])
    np.testing.assert_allclose(found.best, probabilities.amax((1, 2)), atol=1e-4)


@pytest.mark.parametrize("size", [(700, 900), (97, 131), (336, 504), (64, 50), (1, 1), (3, 4000)])
@pytest.mark.parametrize("class_starts", [range(7), (0, 3, 4), (0,)])
def test_strips_and_blocks_give_what_the_whole_gives_at_once(size, class_starts):
    similarities = logits(7, 33, 47)
    found = classify(similarities, class_starts, size, 60.0, threads=2)
    expected = probabilities_of(similarities, class_starts, size, 60.0)
    np.testing.assert_allclose(found.confidence, expected.max(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.best, expected.max(axis=(1, 2)), atol=1e-5)
    ranked = np.sort(expected, axis=0)
    tied = ranked[-1] - ranked[-min(2, len(ranked))] < 1e-5 if len(ranked) > 1 else np.zeros(size, bool)
    np.testing.assert_array_equal(found.index[~tied], expected.argmax(axis=0)[~tied])
    assert tied.mean() < 0.01


@pytest.mark.parametrize("classes", [250, 255, 256, 300])
def test_any_number_of_classes_can_win(classes):
    similarities = np.full((classes, 1, classes), -0.5, np.float32)
    similarities[np.arange(classes), 0, np.arange(classes)] = 0.5
    np.testing.assert_array_equal(
        classify(similarities, range(classes), (2, classes), 40.0).index, [range(classes)] * 2
    )


def test_of_equal_words_the_first_wins_everywhere():
    similarities = np.repeat(logits(2, 33, 47), 4, axis=0)
    assert set(np.unique(classify(similarities, range(8), (211, 301), 40.0).index)) == {0, 4}


def test_a_class_takes_its_likeliest_synonym_after_the_softmax():
    """SCLIP: the softmax is over all words, then the maximum over a class's words."""
    values = np.array([1.0, 3.0, 2.5], np.float32)
    found = classify(values.reshape(3, 1, 1), (0, 2), (1, 1), 1.0)  # class 0: words 0 and 1; class 1: word 2
    total = np.exp(values).sum()
    assert found.index[0, 0] == 0
    np.testing.assert_allclose(found.best, np.exp([3.0, 2.5]) / total, rtol=1e-6)


@pytest.mark.parametrize(("strip", "block", "threads"), [(7, 1, 1), (50, 1 << 14, 3), (1000, 1 << 30, 1)])
def test_neither_strips_nor_threads_change_anything(monkeypatch, strip, block, threads):
    similarities = logits(5, 20, 30)
    whole = classify(similarities, (0, 2, 3), (170, 190), 40.0)
    monkeypatch.setattr(classmap, "BLOCK_ROWS", strip)
    monkeypatch.setattr(classmap, "SCORE_BYTES", block)
    parts = classify(similarities, (0, 2, 3), (170, 190), 40.0, threads=threads)
    np.testing.assert_array_equal(parts.index, whole.index)
    np.testing.assert_array_equal(parts.confidence, whole.confidence)
    np.testing.assert_array_equal(parts.best, whole.best)


@pytest.mark.parametrize("size", [(61, 130), (20, 30), (5, 7), (1, 1)], ids=["larger", "same", "smaller", "pixel"])
@pytest.mark.parametrize("class_starts", [range(300), (0, 2, 150, 151, 260)], ids=["words", "synonyms"])
def test_similarities_made_of_axes_give_the_map_of_those_that_are_kept(monkeypatch, size, class_starts):
    """Tiles are of 64 columns and a few rows here, so that there are several both ways."""
    monkeypatch.setattr(classmap, "SCORE_BYTES", 1)
    monkeypatch.setattr(classmap, "PART_BYTES", 400_000)
    random = np.random.default_rng(0)
    axes, words = logits(8, 20, 30), random.uniform(-1, 1, (300, 8)).astype(np.float32)
    kept = classify(np.tensordot(words, axes, 1), class_starts, size, 40.0)
    made = classify(axes, class_starts, size, 40.0, projection=BasisProjection.of(words), threads=2)
    np.testing.assert_allclose(made.confidence, kept.confidence, rtol=1e-4)
    np.testing.assert_allclose(made.best, kept.best, rtol=1e-4)
    ranked = np.sort(probabilities_of(np.tensordot(words, axes, 1), class_starts, size, 40.0), axis=0)
    tied = ranked[-1] - ranked[-2] < 1e-5
    np.testing.assert_array_equal(made.index[~tied], kept.index[~tied])
    assert tied.mean() < 0.2


def test_of_equal_words_made_of_axes_the_first_wins_everywhere():
    words = np.random.default_rng(0).uniform(-1, 1, (40, 8)).astype(np.float32)
    words = np.concatenate([words, words[::-1], words[:21]])
    found = classify(logits(8, 20, 30), range(101), (61, 130), 40.0, projection=BasisProjection.of(words))
    assert found.index.max() < 40
    np.testing.assert_array_equal(found.best[40:80], found.best[:40][::-1])


def test_memory_does_not_grow_with_the_words():
    axes, words = logits(8, 80, 120), np.random.default_rng(0).uniform(-1, 1, (6000, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        classify(axes, range(6000), (40, 60), 40.0, projection=BasisProjection.of(words))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2.5 * PART_BYTES < 4 * len(words) * axes[0].size / 2  # those of all pixels would take 230 MB


def test_a_large_scale_does_not_overflow():
    found = classify(np.array([-1.0, 1.0], np.float32).reshape(2, 1, 1), (0, 1), (2, 2), 1000.0)
    np.testing.assert_array_equal(found.confidence, 1.0)


def test_windows_are_averaged_where_they_overlap_and_cropped_beyond_the_photo():
    tiles = np.stack([np.full((1, 4, 4), value, np.float32) for value in (1.0, 3.0)])
    found = stitch(tiles, [(0, 0), (0, 2)], (3, 6))
    np.testing.assert_array_equal(found[0], [[1, 1, 2, 2, 3, 3]] * 3)


def test_threads_stitch_what_one_stitches():
    tiles = logits(24, 32, 32).reshape(4, 6, 32, 32)
    corners = [(y, x) for y in (0, 9) for x in (0, 13)]
    one, three = (stitch(list(tiles), corners, (40, 44), threads=threads) for threads in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(
        one[:, 20, 20],
        [np.mean([t[k, 20 - y, 20 - x] for t, (y, x) in zip(tiles, corners, strict=True)]) for k in range(6)],
        rtol=1e-6,
    )
