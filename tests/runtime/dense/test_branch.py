"""The dense branch without LoftUp: patch similarities, upsampled bilinearly."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.search import find_bundle
from wordmask.dense.branch import DenseBranch
from wordmask.dense.similarities import Words
from wordmask.timing import StageTimer

DIM, WORDS = 48, 29


@pytest.fixture(scope="module")
def branch():
    return DenseBranch(
        None, read_manifest(find_bundle("tiny")).clip, windows_a_run=1, threads=1, keep=(), timer=StageTimer()
    )


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_similarities_are_cosines(branch):
    features, text = random(2, DIM, 8, 8), random(WORDS, DIM)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    found = branch._bilinear_windows(features, Words(text, range(WORDS)))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    expected = np.einsum("ndhw,cd->nchw", unit.astype(np.float64), text.astype(np.float64))
    side = branch.constants.window
    assert found.shape == (2, WORDS, side, side)
    np.testing.assert_allclose(found[..., 0, 0], expected[..., 0, 0], atol=1e-6)  # corners are not mixed
    np.testing.assert_allclose(found[..., -1, -1], expected[..., -1, -1], atol=1e-6)


def test_a_words_similarities_depend_neither_on_the_other_words_nor_on_the_other_windows(branch):
    """A matrix product of OpenBLAS rounds by a word's place and by the number of threads."""
    features, text = random(3, DIM, 8, 8), random(WORDS, DIM)
    found = branch._bilinear_windows(features, Words(text, range(WORDS)))
    for word in (0, 5, WORDS - 1):
        alone = branch._bilinear_windows(features[1:2], Words(text[word : word + 1], range(1)))
        np.testing.assert_array_equal(alone[0, 0], found[1, word])
