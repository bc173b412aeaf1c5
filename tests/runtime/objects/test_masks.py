"""Duplicates, upsampled masks and the painted map against plain full-resolution implementations."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wordmask import resize, rle
from wordmask.arrays import BoolMask, Floats
from wordmask.objects import masks
from wordmask.resize import bilinear
from wordmask.types import Instance

SIZES = [(300, 410), (410, 300), (64, 64), (50, 37), (997, 61)]


def blobs(count: int, seed: int, *, side: int = 64, spread: float = 0.04, roughness: float = 1.0) -> Floats:
    """Logits of textured ellipses around three places, so that some pairs nearly coincide and others overlap."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((side, side)) / side
    places = rng.uniform((0.1, 0.1, 0.08, 0.08), (0.9, 0.9, 0.4, 0.4), (3, 4))
    logits = []
    for _ in range(count):
        cy, cx, ry, rx = places[rng.integers(3)] * np.exp(spread * rng.standard_normal(4))
        texture = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 2)
        logits.append(8 * (1 - np.hypot((y - cy) / ry, (x - cx) / rx)) + roughness * texture)
    return np.stack(logits).astype(np.float32)


def plain_drop(
    low_res: Floats,
    class_index: NDArray[np.int64],
    confidence: Floats,
    size: tuple[int, int],
    iou_threshold: float,
    *,
    mask_threshold: float = 0.0,
) -> list[int]:
    full = bilinear(low_res, size) > mask_threshold
    kept: list[int] = []
    for i in sorted(range(len(full)), key=lambda i: (-confidence[i], i)):
        rivals = [full[k] for k in kept if class_index[k] == class_index[i]]
        if full[i].any() and all((full[i] & o).sum() / (full[i] | o).sum() <= iou_threshold for o in rivals):
            kept.append(i)
    return sorted(kept)


@pytest.fixture
def upsampled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects one entry for each mask that is upsampled."""
    calls: list[int] = []
    original = masks.upsample

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(len(calls))
        return original(*arguments, **options)

    monkeypatch.setattr(masks, "upsample", counted)
    return calls


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask_threshold", [0.0, 1.5, -0.7])
def test_duplicates_are_those_of_the_full_resolution(size: tuple[int, int], mask_threshold: float) -> None:
    dropped = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        low_res = blobs(18, seed, roughness=3.0 * (seed % 2))
        class_index = rng.integers(0, 2, len(low_res))
        confidence = np.round(rng.random(len(low_res)), 1).astype(np.float32)  # with ties
        for iou_threshold in (0.5, 0.8, 0.9):
            arguments = (low_res, class_index, confidence, size, iou_threshold)
            kept = masks.drop_duplicates(*arguments, mask_threshold=mask_threshold)
            assert kept.tolist() == plain_drop(*arguments, mask_threshold=mask_threshold)
            dropped += len(low_res) - len(kept)
    assert dropped > 20


def test_pairs_at_the_very_threshold_are_decided_by_the_pixels() -> None:
    size = (300, 410)
    low_res = blobs(12, 1)
    full = bilinear(low_res, size) > 0
    classes, confidence = np.zeros(2, dtype=np.int64), np.array([0.9, 0.8], dtype=np.float32)
    pairs = 0
    for i in range(len(low_res)):
        for j in range(i):
            iou = float((full[i] & full[j]).sum() / (full[i] | full[j]).sum())
            if iou > 0:
                pair = low_res[[i, j]]
                assert masks.drop_duplicates(pair, classes, confidence, size, iou).tolist() == [0, 1]  # not above it
                below = float(np.nextafter(iou, 0))
                assert masks.drop_duplicates(pair, classes, confidence, size, below).tolist() == [0]
                pairs += 1
    assert pairs > 10


def test_masks_whose_logits_are_zero_in_places_are_decided_by_the_pixels() -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        low_res = rng.integers(-1, 2, (6, 8, 8)).astype(np.float32)
        low_res = np.maximum(low_res, low_res[:1])  # much in common
        arguments = (low_res, np.zeros(6, dtype=np.int64), rng.random(6).astype(np.float32), (40, 24), 0.7)
        assert masks.drop_duplicates(*arguments).tolist() == plain_drop(*arguments)


def test_the_more_confident_duplicate_stays_and_at_a_tie_the_first() -> None:
    low_res = np.repeat(blobs(1, 0), 3, axis=0)
    classes = np.zeros(3, dtype=np.int64)
    for confidence, kept in (([0.1, 0.9, 0.5], [1]), ([0.5, 0.9, 0.9], [1]), ([0.9, 0.9, 0.9], [0])):
        certainty = np.array(confidence, dtype=np.float32)
        assert masks.drop_duplicates(low_res, classes, certainty, (100, 90), 0.8).tolist() == kept


def test_at_a_threshold_of_one_nothing_is_a_duplicate() -> None:
    low_res = np.ones((2, 8, 8), dtype=np.float32)
    for threshold, kept in ((1.0, [0, 1]), (0.999, [0])):
        certainty = np.array([0.9, 0.8], dtype=np.float32)
        assert masks.drop_duplicates(low_res, np.zeros(2, np.int64), certainty, (33, 20), threshold).tolist() == kept


def test_equal_masks_of_different_classes_both_stay() -> None:
    low_res = np.repeat(blobs(1, 0), 2, axis=0)
    confidence = np.array([0.9, 0.8], dtype=np.float32)
    assert masks.drop_duplicates(low_res, np.array([0, 1]), confidence, (100, 90), 0.8).tolist() == [0, 1]


def test_a_dropped_mask_drops_no_other() -> None:
    x = np.indices((64, 64))[1]
    chain = np.stack([10.0 - np.abs(x - centre) for centre in (26, 29, 32)]).astype(np.float32)  # IoU 0.74, 0.54
    confidence = np.array([0.9, 0.8, 0.7], dtype=np.float32)
    kept = masks.drop_duplicates(chain, np.zeros(3, dtype=np.int64), confidence, (128, 128), 0.65)
    assert kept.tolist() == [0, 2]


def test_empty_masks_are_dropped() -> None:
    low_res = np.full((3, 16, 16), -3.0, dtype=np.float32)
    low_res[1, 5, 5] = 8.0
    low_res[2, 5, 5] = 1e-6  # inside only at that very sample, which no pixel of a doubled photo hits
    kept = masks.drop_duplicates(low_res, np.arange(3), np.ones(3, dtype=np.float32), (32, 32), 0.8)
    assert kept.tolist() == [1]
    assert masks.drop_duplicates(low_res[:0], np.arange(0), np.ones(0, dtype=np.float32), (32, 32), 0.8).size == 0


def test_clear_cases_need_no_upsampling(upsampled: list[int]) -> None:
    base = blobs(12, 3, side=256, spread=0.3, roughness=0.5)
    low_res = np.concatenate((base, base + 0.02, base - 0.02))
    classes = np.tile(np.arange(12) % 4, 3)
    confidence = np.random.default_rng(0).random(len(low_res)).astype(np.float32)
    kept = masks.drop_duplicates(low_res, classes, confidence, (1200, 1800), 0.8)
    assert len(kept) <= 12
    assert len(upsampled) <= len(low_res) // 4


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mask_threshold", [0.0, 1.5, -0.7])
def test_the_upsampled_mask_is_that_of_the_whole_photo_in_its_tight_box(
    size: tuple[int, int], mask_threshold: float
) -> None:
    for logits in (*blobs(8, 5), *blobs(8, 6, roughness=6.0), np.ones((9, 5), dtype=np.float32) * 3):
        expected = bilinear(logits, size) > mask_threshold
        result = masks.upsample(logits, size, mask_threshold=mask_threshold)
        assert result is not None
        mask, (x0, y0, x1, y1) = result
        whole = np.zeros(size, dtype=bool)
        whole[y0:y1, x0:x1] = mask
        np.testing.assert_array_equal(whole, expected)
        for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
            assert side.any()


def test_a_mask_without_a_pixel_is_none() -> None:
    assert masks.upsample(np.full((8, 8), -1.0, dtype=np.float32), (20, 20)) is None
    assert masks.upsample(np.zeros((8, 8), dtype=np.float32), (20, 20)) is None  # the threshold must be exceeded


def test_only_the_reach_of_the_mask_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    original = resize.bilinear

    def counted(*arguments: Any) -> Any:
        computed.append(original(*arguments))
        return computed[-1]

    monkeypatch.setattr(resize, "bilinear", counted)
    logits = np.full((256, 256), -5.0, dtype=np.float32)
    logits[100:110, 50:60] = 5.0
    masks.upsample(logits, (2048, 2048))
    assert computed[0].size <= (12 * 8) ** 2  # of 2048**2


def instance(mask: BoolMask, class_index: int, score: float) -> Instance:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    points, labels = np.zeros((1, 2), dtype=np.float32), np.ones(1, dtype=np.int32)
    code = rle.encode(mask)
    return Instance("word", class_index, code, box, rle.area(code), score, 1.0, score, points, labels)


def test_instances_are_painted_in_rising_score() -> None:
    rng = np.random.default_rng(0)
    parts = [bilinear(logits, (60, 80)) > 0 for logits in blobs(9, 2, spread=0.5)]
    scores = rng.permutation(len(parts)) / 10
    expected = np.zeros((60, 80), dtype=np.uint16)
    for index in np.argsort(scores):
        expected[parts[index]] = 200 + index + 1
    painted = masks.paint([instance(part, 200 + i, scores[i]) for i, part in enumerate(parts)], (60, 80))
    np.testing.assert_array_equal(painted, expected)
    assert painted.dtype == np.uint16


def test_of_equal_scores_the_first_instance_lies_on_top() -> None:
    everywhere = np.ones((4, 5), dtype=bool)
    painted = masks.paint([instance(everywhere, 7, 0.5), instance(everywhere, 8, 0.5)], (4, 5))
    assert (painted == 8).all()


def test_without_instances_nothing_is_painted() -> None:
    assert not masks.paint([], (4, 5)).any()
