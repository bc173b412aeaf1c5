"""Where LoftUp is worth its price."""

from __future__ import annotations

import numpy as np

from wordmask.dense import similarities
from wordmask.dense.tile_selection import undecided


def halves(lead=10.0):
    """Two classes, left and right, each far ahead on its side."""
    logits = np.zeros((2, 40, 60), np.float32)
    logits[0, :, :30] = logits[1, :, 30:] = lead
    return logits


def test_a_border_between_classes_is_open_and_what_is_far_from_it_is_not():
    found = undecided(halves(), [0, 1], 1.0, margin=1.0, border=4)
    np.testing.assert_array_equal(found.any(axis=0), [26 <= x < 34 for x in range(60)])


def test_a_narrow_lead_is_open():
    logits = halves()
    logits[1, 5, 10] = 9.5
    found = undecided(logits, [0, 1], 1.0, margin=1.0, border=0)
    assert np.argwhere(found).tolist() == [[5, 10]]
    assert not undecided(logits, [0, 1], 4.0, margin=1.0, border=0).any()  # 2 logits ahead at this scale


def test_synonyms_do_not_compete():
    logits = np.concatenate([halves(), halves() - 0.1])[[0, 2, 1, 3]]
    assert not undecided(logits, [0, 2], 1.0, margin=1.0, border=0).any()
    assert undecided(logits, [0, 1, 2, 3], 1.0, margin=1.0, border=0).all()


def test_a_single_class_is_always_decided():
    assert not undecided(halves()[:1], [0], 1.0, margin=1.0, border=4).any()


def test_many_words_are_looked_at_in_bands(monkeypatch):
    random = np.random.default_rng(0)
    axes, projection = (
        random.uniform(-1, 1, (4, 30, 50)).astype(np.float32),
        random.normal(size=(90, 4)).astype(np.float32),
    )
    settings = {"margin": 0.05, "border": 0}
    for starts in (range(90), (0, 3, 40)):
        kept = undecided(np.tensordot(projection, axes, 1), starts, 1.0, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(similarities, "PART_BYTES", 4 * 90 * 50 * 7)  # seven rows
            made = undecided(axes, starts, 1.0, projection=similarities.BasisProjection.of(projection), **settings)
        assert 0.05 < kept.mean() < 1
        assert (made != kept).mean() < 1e-3  # of leads that are the margin
