"""Features of windows on one grid."""

from __future__ import annotations

import numpy as np

from wordmask.dense.stitching import stitch_features


def test_windows_on_the_grid_are_averaged_where_they_overlap():
    features = np.arange(2 * 3 * 4 * 4, dtype=np.float32).reshape(2, 3, 4, 4)
    found = stitch_features(features, [(0, 0), (0, 16)], (32, 48), window=32, patch=8)
    assert found.shape == (1, 3, 4, 6)
    np.testing.assert_allclose(found[0, :, :, :2], features[0, :, :, :2])
    np.testing.assert_allclose(found[0, :, :, 4:], features[1, :, :, 2:])
    np.testing.assert_allclose(found[0, :, :, 2:4], (features[0, :, :, 2:] + features[1, :, :, :2]) / 2)


def test_a_window_beside_the_grid_is_sampled_between_its_patches():
    ramp = np.tile(np.arange(4, dtype=np.float32) * 8 + 4, (1, 1, 4, 1))  # x of each patch's centre
    shifted = ramp + 12
    found = stitch_features(np.concatenate([ramp, shifted]), [(0, 0), (0, 12)], (32, 44), window=32, patch=8)
    centres = (np.arange(6) + 0.5) * 44 / 6
    np.testing.assert_allclose(found[0, 0, 0, 1:-1], centres[1:-1], rtol=1e-6)  # the ends repeat the last patch


def test_a_photo_smaller_than_its_window_has_only_its_own_patches():
    features = np.random.default_rng(0).standard_normal((1, 2, 4, 4), dtype=np.float32)
    found = stitch_features(features, [(0, 0)], (32, 16), window=32, patch=8)
    np.testing.assert_allclose(found, features[:, :, :, :2], rtol=1e-6)
