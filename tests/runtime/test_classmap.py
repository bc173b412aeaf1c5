"""Stitching and classification against torch's interpolate and softmax."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask import classmap
from wordmask.classmap import classify, stitch


def logits(words, height, width, seed=0):
    return np.random.default_rng(seed).uniform(-0.2, 0.4, (words, height, width)).astype(np.float32)


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


def test_a_class_takes_its_likeliest_synonym_after_the_softmax():
    """SCLIP: the softmax is over all words, then the maximum over a class's words."""
    values = np.array([1.0, 3.0, 2.5], np.float32)
    found = classify(values.reshape(3, 1, 1), (0, 2), (1, 1), 1.0)  # class 0: words 0 and 1; class 1: word 2
    total = np.exp(values).sum()
    assert found.index[0, 0] == 0
    np.testing.assert_allclose(found.best, np.exp([3.0, 2.5]) / total, rtol=1e-6)


def test_strips_change_nothing(monkeypatch):
    similarities = logits(5, 20, 30)
    whole = classify(similarities, (0, 2, 3), (70, 90), 40.0)
    monkeypatch.setattr(classmap, "STRIP_VALUES", 5 * 90 * 7)
    strips = classify(similarities, (0, 2, 3), (70, 90), 40.0)
    np.testing.assert_array_equal(strips.index, whole.index)
    np.testing.assert_array_equal(strips.confidence, whole.confidence)
    np.testing.assert_array_equal(strips.best, whole.best)


def test_a_large_scale_does_not_overflow():
    found = classify(np.array([-1.0, 1.0], np.float32).reshape(2, 1, 1), (0, 1), (2, 2), 1000.0)
    np.testing.assert_array_equal(found.confidence, 1.0)


def test_windows_are_averaged_where_they_overlap_and_cropped_beyond_the_photo():
    tiles = np.stack([np.full((1, 4, 4), value, np.float32) for value in (1.0, 3.0)])
    found = stitch(tiles, [(0, 0), (0, 2)], (3, 6))
    np.testing.assert_array_equal(found[0], [[1, 1, 2, 2, 3, 3]] * 3)
