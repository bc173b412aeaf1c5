"""What adds up over photos, against the definitions written out class by class."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wordmask_bench.datasets.labels import IGNORED
from wordmask_bench.quality.metrics import outline
from wordmask_bench.quality.tally import OUTLINE, Tally, small_regions

NAMES = ("background", "cat", "dog", "bird")


def blobs(seed, *, size=(60, 90), values=4):
    """Regions of a few labels."""
    noise = np.random.default_rng(seed).normal(size=(values, *size)).astype(np.float32)
    return np.array([cv2.GaussianBlur(plane, (0, 0), 6) for plane in noise]).argmax(0)


def hollow(mask, width):
    """boundary_iou_api's mask_to_boundary: the mask without what is deeper than `width`."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return mask & (eroded[1:-1, 1:-1] == 0)


def test_outlines_are_those_of_each_labels_mask_alone():
    labels = blobs(0)
    near = outline(labels, 3)
    for label in np.unique(labels):
        np.testing.assert_array_equal(near & (labels == label), hollow(labels == label, 3))


def test_figures_are_those_of_each_class_counted_alone():
    tally, pairs = Tally(NAMES, first_object=1), []
    for seed in range(3):
        true, found = blobs(seed), blobs(seed, values=5)  # 4 is none
        true[:10, :20] = IGNORED
        pairs.append((true, found))
        part = Tally(NAMES, first_object=1)
        part.add(true, found)
        tally.merge(part)
    figures, width = tally.figures(), round(OUTLINE * float(np.hypot(60, 90)))
    for index, name in enumerate(NAMES):
        whole, thin = np.zeros(2, int), np.zeros(2, int)
        for true, found in pairs:
            counted = true != IGNORED
            mine, other = (true == index) & counted, (found == index) & counted
            whole += [(mine & other).sum(), (mine | other).sum()]
            mine, other = hollow(mine, width), hollow(other, width)
            thin += [(mine & other).sum(), (mine | other).sum()]
        assert figures.per_class[name] == pytest.approx(whole[0] / whole[1])
        assert figures.per_class_boundary[name] == pytest.approx(thin[0] / thin[1])
    assert figures.miou == pytest.approx(np.mean(list(figures.per_class.values())))
    assert figures.boundary_iou == pytest.approx(np.mean(list(figures.per_class_boundary.values())))
    right = sum(((true == found) & (true != IGNORED)).sum() for true, found in pairs)
    assert figures.accuracy == pytest.approx(right / sum((true != IGNORED).sum() for true, _ in pairs))


def test_a_right_map_is_perfect_whatever_it_says_of_ignored_pixels():
    true = blobs(1)
    found = true.copy()
    true[20:40, 30:50] = IGNORED
    found[20:40, 30:50] = blobs(2)[20:40, 30:50]
    tally = Tally(NAMES, first_object=1)
    tally.add(true, found)
    figures = tally.figures()
    assert figures.miou == figures.boundary_iou == figures.accuracy == 1.0


def test_a_class_found_where_it_never_is_counts_as_wrong_and_one_that_neither_is_nor_was_found_not_at_all():
    tally = Tally(NAMES, first_object=1)
    tally.add(np.array([[1, 1, 1, 1]]), np.array([[1, 1, 1, 2]]))
    figures = tally.figures()
    assert figures.per_class["dog"] == 0.0
    assert np.isnan(figures.per_class["bird"])
    assert (figures.miou, figures.miou_occurring) == (0.375, 0.75)


def test_small_regions_are_found_if_half_of_them_is():
    true = np.zeros((50, 80), int)
    true[5:15, 5:15] = 1  # half of it found
    true[5:15, 30:40] = 1  # a little less
    true[20:45, 20:70] = 2  # not small
    true[2, 60:65] = 3  # a speck
    found = np.where(true == 2, 2, 0)
    found[5:10, 5:15] = 1
    found[5:10, 30:40] = 1
    found[5, 30] = 2
    tally = Tally(NAMES, first_object=1)
    tally.add(true, found)
    assert tally.figures().small_regions == 2
    assert tally.figures().small_recall == 0.5


def test_regions_that_touch_at_a_corner_are_one_and_the_background_has_none():
    labels = np.zeros((20, 20), int)
    labels[2:6, 2:6] = labels[6:10, 6:10] = 1
    (region,) = small_regions(labels, range(1, 4))
    assert region.box == (2, 2, 10, 10)
    assert np.count_nonzero(region.mask) == 32
