"""Errors near the borders of windows: where the borders run in a photo, and the ratio of the error rates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wordmask.bundle.opening import open_bundle
from wordmask_bench.quality.seams import SeamTally, near_borders

TRUE = np.zeros((384, 320), np.int64)


@pytest.fixture(scope="module")
def constants():
    """Windows of 128 pixels, 96 apart, over photos of which CLIP sees the short side as 384 pixels."""
    return replace(open_bundle("tiny").manifest.clip, window=128, stride=96, short_side=384, long_side=1024)


def along(near, axis):
    """The rows or columns that are near a border as a whole."""
    return np.flatnonzero(near.all(axis=axis)).tolist()


def test_borders_run_where_windows_begin_and_end_within_the_photo(constants):
    near = near_borders((384, 400), constants)  # not resized: windows begin at 0, 96, 192, and 256 or (columns) 272
    rows, columns = (
        [pixel for border in (96, 128, 192, 224, last, 320) for pixel in range(border - 4, border + 4)]
        for last in (256, 272)
    )
    assert (along(near, 1), along(near, 0)) == (rows, columns)
    assert near.sum() == 384 * 400 - (384 - len(rows)) * (400 - len(columns))


def test_the_distance_is_of_the_photo_as_clip_sees_it(constants):
    near = near_borders((192, 192), constants)  # CLIP sees twice as many pixels
    assert along(near, 1)[:6] == [46, 47, 48, 49, 62, 63]


def test_a_photo_of_one_window_has_no_borders(constants):
    assert not near_borders((128, 128), replace(constants, short_side=128)).any()


def tally_of(*parts):
    """Counts of photos whose pixels are wrong in the given parts."""
    near = np.zeros(TRUE.shape, bool)
    near[100:116] = True
    tally = SeamTally(2)
    for part in parts:
        found = TRUE.copy()
        found[part] = 1
        tally.add(TRUE, found, near)
    return tally


def test_errors_everywhere_alike_make_no_seam_and_errors_at_borders_do():
    assert tally_of(np.s_[::4]).ratio() == pytest.approx(1.0)
    assert tally_of(np.s_[::4], np.s_[100:116:2]).ratio() == pytest.approx(1.5 * 2, rel=1e-6)
    assert tally_of(np.s_[:100:4]).ratio() == 0.0


@pytest.mark.parametrize("part", [np.s_[100:116], np.s_[:0]])
def test_without_errors_elsewhere_there_is_no_ratio(part):
    assert np.isnan(tally_of(part).ratio())
    assert np.isnan(tally_of(part).adjusted())


def test_harder_pixels_at_borders_make_no_seam_once_they_are_allowed_for():
    """Near the border lies an object that is everywhere harder; its share of errors there is that elsewhere."""
    true = TRUE.copy()
    true[100:116, :160] = true[300:316] = 1
    near = np.zeros(TRUE.shape, bool)
    near[100:116] = True
    found = true.copy()
    found[100:116:2, :160] = found[300:316:2] = 2
    tally = SeamTally(3)
    tally.add(true, found, near)
    assert tally.ratio() > 5
    assert tally.adjusted() == pytest.approx(1.0, abs=0.05)
    found[101:116:2, :160] = 2  # now all of the object is wrong there
    worse = SeamTally(3)
    worse.add(true, found, near)
    assert worse.adjusted() == pytest.approx(2.0, abs=0.1)
