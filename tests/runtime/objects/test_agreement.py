"""Masks checked against the class map: pieces that no point touches, and how probable a mask's word is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wordmask.objects.agreement import REMOVED, agreements, keep_prompted_pieces
from wordmask.types import Prompt


def prompt(points, labels=None, class_index=0):
    labels = np.ones(len(points), np.int32) if labels is None else np.array(labels, np.int32)
    return Prompt(class_index, np.array(points, np.float32), labels, 0.9, 100)


def logits(*boxes, side=32):
    """Masks of boxes (x0, y0, x1, y1) on a grid."""
    mask = np.full((side, side), -3.0, np.float32)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = 2.0
    return mask


LEFT, RIGHT, SPECK = (2, 2, 10, 10), (16, 4, 30, 28), (1, 25, 3, 27)
SIZE = (64, 128)  # the photo: a grid point is 2 rows by 4 columns


@pytest.mark.parametrize(
    ("points", "labels", "expected"),
    [
        ([(20, 10)], None, [LEFT]),
        ([(80, 30)], None, [RIGHT]),
        ([(20, 10), (80, 30)], None, [LEFT, RIGHT]),
        ([(20, 10), (80, 30)], [1, 0], [LEFT]),  # a negative point keeps nothing
        ([(8, 4), (39, 19), (24, 12)], [2, 3, 1], [LEFT]),  # nor do a box's corners
        ([(127.9, 63.9)], None, [RIGHT]),  # in no piece: the largest stays
    ],
    ids=["left", "right", "both", "negative", "box", "none"],
)
def test_pieces_that_no_positive_point_touches_are_removed(points, labels, expected):
    found = keep_prompted_pieces(logits(LEFT, RIGHT, SPECK)[None], [prompt(points, labels)], SIZE, mask_threshold=0.0)
    np.testing.assert_array_equal(found[0] > 0, logits(*expected) > 0)


def test_what_is_kept_and_what_was_outside_keep_their_logits():
    before = logits(LEFT, RIGHT)
    after = keep_prompted_pieces(before[None], [prompt([(20, 10)])], SIZE, mask_threshold=0.0)[0]
    gone = logits(RIGHT) > 0
    np.testing.assert_array_equal(after[~gone], before[~gone])
    assert set(after[gone].tolist()) == {-REMOVED}
    assert before[gone].min() > 0  # the input is left alone


def test_pieces_that_meet_at_a_corner_are_one():
    mask = logits((2, 2, 6, 6), (6, 6, 10, 10))
    found = keep_prompted_pieces(mask[None], [prompt([(12, 6)])], SIZE, mask_threshold=0.0)
    np.testing.assert_array_equal(found[0], mask)


@pytest.mark.parametrize("masks", [logits(LEFT), logits()], ids=["one piece", "empty"])
def test_a_mask_without_other_pieces_stays(masks):
    found = keep_prompted_pieces(masks[None], [prompt([(80, 30)])], SIZE, mask_threshold=0.0)
    np.testing.assert_array_equal(found[0], masks)


def test_the_threshold_is_heeded():
    mask = logits(LEFT) + np.where(logits(RIGHT) > 0, 4.5, 0).astype(np.float32)  # 2 on the left, 1.5 on the right
    found = keep_prompted_pieces(mask[None], [prompt([(20, 10)])], SIZE, mask_threshold=1.8)
    np.testing.assert_array_equal(found[0], mask)  # the right is no piece at this threshold


def test_agreement_is_the_mean_confidence_of_the_masks_word():
    dense = np.full(SIZE, 7)
    confidence = np.full(SIZE, 0.5, np.float32)
    dense[4:20, 8:24] = 1  # the left half of LEFT in the photo
    confidence[4:20, 8:24] = 0.8
    masks = np.stack([logits(LEFT)] * 3 + [logits()])
    found = agreements(masks, np.array([1, 7, 2, 1]), dense, confidence, mask_threshold=0.0)
    np.testing.assert_allclose(found, [0.4, 0.25, 0.0, 0.0], rtol=1e-6)


def test_agreement_on_the_grid_is_close_to_that_at_the_photos_size():
    random = np.random.default_rng(0)
    coarse = cv2.resize(random.random((8, 12), np.float32), (360, 240), interpolation=cv2.INTER_CUBIC)
    dense, confidence = (coarse > 0.5).astype(np.int32), np.clip(np.abs(coarse - 0.5) + 0.5, 0, 1).astype(np.float32)
    mask = cv2.resize(random.standard_normal((6, 6)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    whole = cv2.resize(mask, (360, 240), interpolation=cv2.INTER_LINEAR) > 0
    expected = confidence[whole & (dense == 1)].sum() / whole.sum()
    found = agreements(mask[None], np.array([1]), dense, confidence, mask_threshold=0.0)
    assert found[0] == pytest.approx(expected, abs=0.02)
