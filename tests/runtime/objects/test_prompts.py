"""Regions and prompt points on drawn shapes, and against a plain implementation on random maps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.objects.prompts import extract_prompts
from wordmask.types import Options, Prompt

ClassMap = NDArray[np.int64]
BACKGROUND = 3  # the first index that is no class in the drawn maps


def drawn(*shapes: tuple[BoolMask, int], confidence: float = 0.9) -> tuple[ClassMap, Floats]:
    """A class map with shapes on an unconfident background."""
    class_map = np.full(shapes[0][0].shape, BACKGROUND)
    certainty = np.full(class_map.shape, 0.1, dtype=np.float32)
    for mask, index in shapes:
        class_map[mask] = index
        certainty[mask] = confidence
    return class_map, certainty


def disc(x: float, y: float, radius: float, size: tuple[int, int] = (100, 120)) -> BoolMask:
    rows, columns = np.indices(size)
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (100, 120)) -> BoolMask:
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def border_distance(mask: BoolMask) -> Floats:
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return distance[1:-1, 1:-1].astype(np.float32)


def found(class_map: ClassMap, confidence: Floats, **options: float) -> list[Prompt]:
    return extract_prompts(class_map, confidence, 3, Options(**options))  # type: ignore[arg-type]


def random_map(seed: int, n_classes: int, size: tuple[int, int] = (90, 130)) -> tuple[ClassMap, Floats]:
    """Blobs of all classes, background (n_classes) and unknown (-1), with a noisy confidence."""
    rng = np.random.default_rng(seed)
    noise = [cv2.GaussianBlur(rng.standard_normal(size), (0, 0), 3 + seed % 4) for _ in range(n_classes + 2)]
    return np.argmax(noise, axis=0) - 1 + (n_classes + 1) * (np.argmax(noise, axis=0) == 0) * (seed % 2), (
        np.clip(0.8 + 0.1 * rng.standard_normal(size), 0, 1).astype(np.float32)
    )


def regions(
    class_map: ClassMap, confidence: Floats, n_classes: int, options: Options
) -> Iterator[tuple[int, BoolMask]]:
    """Class by class with OpenCV, in the order of the prompts."""
    for index in range(n_classes):
        mask = (class_map == index) & (confidence > np.float32(options.min_confidence))
        count, label = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
        parts = [label == k for k in range(1, count) if (label == k).sum() >= options.min_region_size]
        parts.sort(key=lambda part: (-part.sum(), np.flatnonzero(part)[0]))
        yield from ((index, part) for part in parts)


def test_a_disc_is_prompted_at_its_centroid() -> None:
    (prompt,) = found(*drawn((disc(61, 40, 15), 1)))
    assert prompt.class_index == 1
    assert prompt.points.tolist() == [[61.0, 40.0]]
    assert prompt.labels.tolist() == [1]
    assert prompt.region_size == disc(61, 40, 15).sum()
    assert prompt.confidence == pytest.approx(0.9)
    assert prompt.points.dtype == np.float32
    assert prompt.labels.dtype == np.int32


def test_ring_and_crescent_are_prompted_inside_and_farthest_from_their_border() -> None:
    ring = disc(60, 50, 40) & ~disc(66, 50, 25)
    crescent = disc(60, 50, 40) & ~disc(75, 50, 40)
    for shape in (ring, crescent):
        (prompt,) = found(*drawn((shape, 0)))
        x, y = prompt.points[0].astype(int)
        assert shape[y, x]
        assert border_distance(shape)[y, x] == border_distance(shape).max()


def test_the_photos_edge_counts_as_a_border() -> None:
    bracket = ~rectangle(40, 20, 120, 80)  # its thick part, 40 columns, leans on the left edge
    (prompt,) = found(*drawn((bracket, 0)))
    assert 18 <= prompt.points[0, 0] <= 22


def test_two_regions_of_a_class_give_two_prompts_the_larger_first() -> None:
    small, large = disc(20, 20, 8), disc(80, 60, 20)
    prompts = found(*drawn((small, 2), (large, 2), (rectangle(0, 90, 120, 100), 0)))
    assert [prompt.class_index for prompt in prompts] == [0, 2, 2]
    assert [prompt.region_size for prompt in prompts[1:]] == [large.sum(), small.sum()]


def test_regions_that_touch_at_a_corner_are_two() -> None:
    prompts = found(*drawn((rectangle(10, 10, 30, 30) | rectangle(30, 30, 50, 50), 0)))
    assert [prompt.region_size for prompt in prompts] == [400, 400]


def test_neighbouring_classes_are_not_joined() -> None:
    prompts = found(*drawn((rectangle(10, 10, 30, 30), 0), (rectangle(30, 10, 50, 30), 1)))
    assert [(prompt.class_index, prompt.region_size) for prompt in prompts] == [(0, 400), (1, 400)]


def test_a_row_does_not_go_on_in_the_next_one() -> None:
    prompts = found(*drawn((rectangle(0, 20, 10, 40) | rectangle(110, 20, 120, 40), 0)))
    assert [prompt.region_size for prompt in prompts] == [200, 200]


def test_a_region_of_exactly_the_minimum_size_counts() -> None:
    maps = drawn((rectangle(10, 10, 20, 20), 0))
    assert len(found(*maps, min_region_size=100)) == 1
    assert found(*maps, min_region_size=101) == []


def test_the_confidence_must_be_above_the_minimum() -> None:
    maps = drawn((disc(60, 50, 20), 0), confidence=0.7)
    assert found(*maps, min_confidence=0.7) == []
    assert len(found(*maps, min_confidence=0.699)) == 1


def test_background_and_unknown_pixels_are_no_regions() -> None:
    assert found(*drawn((disc(30, 50, 20), BACKGROUND), (disc(80, 50, 20), -1))) == []


def test_the_confidence_is_the_mean_over_the_region() -> None:
    class_map, confidence = drawn((rectangle(10, 10, 30, 30), 0))
    confidence[10:30, 10:15] = 0.8
    (prompt,) = found(class_map, confidence)
    assert prompt.confidence == pytest.approx(0.25 * 0.8 + 0.75 * 0.9)


def test_more_points_are_spread_and_well_inside() -> None:
    bar = rectangle(10, 40, 111, 61)
    (prompt,) = found(*drawn((bar, 0)), points_per_region=3)
    assert prompt.labels.tolist() == [1, 1, 1]
    xs = prompt.points[:, 0]
    assert xs[0] == 60.0
    assert sorted(xs[1:]) == [pytest.approx(15, abs=1), pytest.approx(105, abs=1)]  # half of 11 px from the short sides
    distance = border_distance(bar)
    assert all(distance[int(y), int(x)] >= distance.max() / 2 for x, y in prompt.points)


def test_a_region_too_small_for_many_points_gets_different_ones() -> None:
    (prompt,) = found(*drawn((rectangle(10, 10, 12, 12), 0)), min_region_size=4, points_per_region=9)
    assert len(np.unique(prompt.points, axis=0)) == len(prompt.points) == 4


def test_a_box_stands_first_as_the_first_and_last_pixel_inside() -> None:
    (prompt,) = found(*drawn((rectangle(10, 20, 50, 40), 0)), boxes=True)
    assert prompt.points.tolist()[:2] == [[10.0, 20.0], [49.0, 39.0]]
    assert prompt.labels.tolist() == [2, 3, 1]


@pytest.mark.parametrize("seed", range(6))
def test_negative_points_are_confident_pixels_of_other_classes_at_a_distance(seed: int) -> None:
    class_map, confidence = random_map(seed, 3, (200, 300))
    options = Options(negative_points=3, min_region_size=30)
    masks = list(regions(class_map, confidence, 3, options))
    prompts = extract_prompts(class_map, confidence, 3, options)
    negatives = 0
    for prompt, (index, mask) in zip(prompts, masks, strict=True):
        away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for x, y in prompt.points[prompt.labels == 0].astype(int):
            assert away[y, x] >= 10
            assert class_map[y, x] not in (index, -1)
            assert confidence[y, x] > 0.8
            negatives += 1
    assert negatives > len(prompts)


def test_the_first_negative_point_is_the_nearest_and_the_next_ones_lie_around_the_region() -> None:
    middle = disc(60, 50, 12)
    class_map, confidence = drawn((~disc(60, 50, 23) & disc(60, 50, 40), BACKGROUND), (middle, 0))
    (prompt,) = found(class_map, confidence, negative_points=3)
    x, y = (prompt.points[prompt.labels == 0] - (60, 50)).T
    assert np.hypot(x[0], y[0]) == pytest.approx(23.5, abs=0.6)
    angles = np.sort(np.degrees(np.arctan2(y, x)))
    assert np.diff(angles, append=angles[0] + 360).min() > 60  # farthest first: nearly a triangle


def test_there_is_no_negative_point_without_a_confident_other_class() -> None:
    (prompt,) = found(*drawn((disc(60, 50, 12), 0)), negative_points=3)
    assert prompt.labels.tolist() == [1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.int64])
@pytest.mark.parametrize("n_classes", [1, 5, 254, 255, 256, 300])
def test_regions_are_those_of_a_plain_implementation(n_classes: int, dtype: type[np.integer]) -> None:
    rng = np.random.default_rng(n_classes)
    for seed in range(4):
        class_map, confidence = random_map(seed, 5)
        # Five classes, scattered over all indices; background and unknown stay so, as far as dtype allows.
        target = np.sort(rng.choice(n_classes, 5, replace=n_classes < 5))
        top = min(n_classes, np.iinfo(dtype).max)
        lowest = -1 if np.iinfo(dtype).min < 0 else top
        class_map = np.array([*np.minimum(target, top), top, lowest])[class_map].astype(dtype)
        options = Options(min_region_size=20)
        expected = list(regions(class_map, confidence, n_classes, options))
        prompts = extract_prompts(class_map, confidence, n_classes, options)
        assert len(expected) > 0
        assert [(prompt.class_index, prompt.region_size) for prompt in prompts] == [(i, m.sum()) for i, m in expected]
        for prompt, (_, mask) in zip(prompts, expected, strict=True):
            x, y = prompt.points[0].astype(int)
            centre = np.rint(np.argwhere(mask).mean(axis=0)).astype(int)
            if mask[tuple(centre)]:
                assert (y, x) == tuple(centre)
            else:
                assert mask[y, x]
                assert border_distance(mask)[y, x] == border_distance(mask).max()
            assert prompt.confidence == pytest.approx(confidence[mask].mean(), abs=1e-5)


def test_winding_and_noisy_regions_are_whole() -> None:
    rng = np.random.default_rng(0)
    comb = rectangle(0, 0, 120, 1) | (np.indices((100, 120))[1] % 2 == 0)  # teeth that meet only in the first row
    snake = np.indices((101, 120))[0] % 2 == 0
    snake[1::4, -1] = snake[3::4, 0] = True
    for mask in (comb, comb[::-1], snake, rng.random((100, 120)) < 0.6, rng.random((100, 120)) < 0.5):
        class_map, confidence = drawn((mask, 0))
        options = Options(min_region_size=1)
        expected = [part.sum() for _, part in regions(class_map, confidence, 3, options)]
        assert [prompt.region_size for prompt in found(class_map, confidence, min_region_size=1)] == expected


def test_the_result_is_the_same_every_time() -> None:
    maps = random_map(3, 3, (200, 300))
    one, two = (found(*maps, points_per_region=3, negative_points=2, boxes=True) for _ in range(2))
    assert [prompt.points.tolist() for prompt in one] == [prompt.points.tolist() for prompt in two]


def test_the_last_digit_of_a_distance_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV's distances differ in it while other threads are busy; equal ones must go on to tie."""
    ring = disc(60, 50, 40) & ~disc(60, 50, 20)
    maps = drawn((ring, 0), (disc(60, 50, 15), 1))
    options = {"points_per_region": 3, "negative_points": 3}
    expected = [prompt.points.tolist() for prompt in found(*maps, **options)]
    exact, rng = cv2.distanceTransform, np.random.default_rng(0)

    def trembling(*args: Any) -> Floats:
        distance = exact(*args)
        return np.where(rng.random(distance.shape) < 0.5, distance, np.nextafter(distance, np.float32(np.inf)))

    monkeypatch.setattr(cv2, "distanceTransform", trembling)
    for _ in range(5):
        assert [prompt.points.tolist() for prompt in found(*maps, **options)] == expected


def test_maps_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        found(np.zeros((4, 5), dtype=int), np.zeros((5, 4), dtype=np.float32))


def test_a_megapixel_with_twenty_classes_is_a_matter_of_milliseconds() -> None:
    rng = np.random.default_rng(0)
    noise = [cv2.resize(rng.standard_normal((14, 14)), (1000, 1000), interpolation=cv2.INTER_CUBIC) for _ in range(21)]
    class_map, confidence = np.argmax(noise, axis=0), np.full((1000, 1000), 0.9, dtype=np.float32)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        prompts = extract_prompts(class_map, confidence, 20, Options())
        seconds.append(time.perf_counter() - start)
    cv2.setNumThreads(threads)
    assert len(prompts) > 100
    assert min(seconds) < 0.1  # about 0.01 s on one core; the rest is for busy machines
