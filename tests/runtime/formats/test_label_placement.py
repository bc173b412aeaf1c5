"""Where labels go: over large objects, beside small ones, and never in each other's way."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wordmask.formats.label_placement import Label, place_labels

LIMITS = (1000, 750)
SIZE = (110, 21)


def label(x0, y0, x1, y1, size=SIZE) -> Label:
    return Label(size, ((x0 + x1) / 2, (y0 + y1) / 2), (x0, y0, x1, y1))


def meet(a, b) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def crowd(count: int, seed: int, most: int) -> list[Label]:
    random = np.random.default_rng(seed)
    corners = random.integers(0, (900, 650), (count, 2)).tolist()
    sizes = random.integers(8, most, (count, 2)).tolist()
    return [label(x, y, min(x + w, 1000), min(y + h, 750)) for (x, y), (w, h) in zip(corners, sizes, strict=True)]


@pytest.mark.parametrize(("count", "most"), [(10, 300), (40, 60), (120, 90)])
def test_labels_cover_neither_each_other_nor_small_objects_and_stay_inside(count, most):
    labels = crowd(count, count, most)
    places = place_labels(labels, LIMITS)
    boxes = [place.box for place in places if place is not None]
    assert len(boxes) >= 0.6 * count
    assert not any(meet(a, b) for a, b in itertools.combinations(boxes, 2))
    small = [each.box for each in labels if each.of_small_object]
    assert small
    assert not any(meet(box, other) for box in boxes for other in small)
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= LIMITS[0] and box[3] <= LIMITS[1] for box in boxes)
    assert all((box[2] - box[0], box[3] - box[1]) == SIZE for box in boxes)


@pytest.mark.parametrize("seed", range(3))
def test_a_leader_goes_from_its_label_to_its_object(seed):
    labels = crowd(30, seed, 120)
    led = [(each, place) for each, place in zip(labels, place_labels(labels, LIMITS), strict=True) if place.leader]
    assert len(led) > 10
    for each, place in led:
        (x, y), end = place.leader
        x0, y0, x1, y1 = place.box
        assert x0 <= x <= x1 - 1
        assert y0 <= y <= y1 - 1
        assert end == each.anchor


def test_a_large_objects_label_lies_over_it_near_its_point_without_a_leader():
    large = label(200, 200, 800, 600)
    (place,) = place_labels([large], LIMITS, [(495, 395, 506, 406)])
    assert place.leader is None
    x0, y0, x1, y1 = place.box
    assert x0 < 500 < x1
    assert 350 < y0 < y1 <= 395


def test_a_small_objects_label_stands_close_above_it():
    (place,) = place_labels([label(500, 400, 540, 430)], LIMITS)
    x0, _, x1, y1 = place.box
    assert 400 - SIZE[1] < y1 <= 400
    assert x0 < 520 < x1
    assert place.leader == ((520.0, y1 - 1), (520.0, 415.0))


def test_at_the_upper_border_it_stands_below():
    (place,) = place_labels([label(500, 0, 540, 18)], LIMITS)
    assert 18 <= place.box[1] < 18 + SIZE[1]


def test_a_label_keeps_off_a_large_object_that_is_not_its_own():
    small, other = label(480, 300, 520, 330), label(300, 100, 700, 299)
    place, _ = place_labels([small, other], LIMITS)
    assert not meet(place.box, other.box)


def test_the_first_has_the_choice():
    one, other = label(500, 400, 540, 430), label(505, 405, 535, 425)
    first, second = place_labels([one, other], LIMITS)
    assert first.box == place_labels([one], LIMITS)[0].box
    assert second.box != first.box


def test_where_no_place_is_left_there_is_no_label():
    assert place_labels([label(10, 10, 20, 20)], (100, 60)) == [None]  # narrower than the label
    wall = [(0, 0, 1000, 740)]
    assert place_labels([label(10, 10, 20, 20)], LIMITS, wall) == [None]
    assert place_labels([], LIMITS) == []
