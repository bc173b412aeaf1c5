"""What is counted of masks with words: off their word, doubled, in pieces; objects found; COCO's average precision."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from wordmask import rle
from wordmask_bench.quality.objects import Labelled, ObjectTally, average_precision, outside_largest_piece

SIZE = (60, 80)
SQUARE, OTHER = (slice(5, 25), slice(5, 25)), (slice(30, 55), slice(40, 75))


def mask(*parts):
    found = np.zeros(SIZE, np.bool_)
    for part in parts:
        found[part] = True
    return found


@pytest.fixture
def scene():
    """Two objects: class 3 in SQUARE, class 5 in OTHER; class 0 around them."""
    class_map = np.zeros(SIZE, np.int64)
    class_map[SQUARE], class_map[OTHER] = 3, 5
    things = [
        SimpleNamespace(mask=mask(SQUARE), class_index=3, box=(5, 5, 25, 25)),
        SimpleNamespace(mask=mask(OTHER), class_index=5, box=(40, 30, 75, 55)),
    ]
    return SimpleNamespace(class_map=class_map, instances=things)


def instance(part, word, score=0.9):
    return SimpleNamespace(mask=rle.encode(part), class_index=word, score=score)


WORDS = np.array([3, 5, 7])  # the scene's class of each word asked for


def figures(scene, *instances):
    tally = ObjectTally()
    tally.add(scene, instances, WORDS)
    return tally.figures()


def test_masks_of_the_objects_under_their_words_are_right(scene):
    found = figures(scene, instance(mask(SQUARE), 0), instance(mask(OTHER), 1))
    assert (found["masks"], found["off_word"], found["duplicates"], found["scattered"]) == (2, 0, 0, 0)
    assert found["found_50"] == found["found_75"] == found["found_75_small"] == 1
    assert np.isnan(found["found_50_large"])


def test_a_mask_under_another_word_is_off_and_finds_nothing(scene):
    found = figures(scene, instance(mask(SQUARE), 2))
    assert found["off_word"] == 1
    assert found["found_50"] == 0


def test_one_object_under_two_words_is_a_duplicate_and_under_one_word_twice_is_none(scene):
    assert figures(scene, instance(mask(SQUARE), 0), instance(mask(SQUARE), 2))["duplicates"] == 1
    assert figures(scene, instance(mask(SQUARE), 0), instance(mask(SQUARE), 0))["duplicates"] == 0


def test_half_an_object_is_found_at_the_lower_threshold_only(scene):
    part = mask((slice(5, 18), slice(5, 25)))  # 13 of 20 rows
    found = figures(scene, instance(part, 0))
    assert (found["found_50"], found["found_75"]) == (0.5, 0)


@pytest.mark.parametrize(
    ("parts", "share"), [([SQUARE], 0), ([SQUARE, (slice(50, 60), slice(0, 10))], 0.2), ([], 0)], ids=str
)
def test_the_share_outside_the_largest_piece(parts, share):
    assert outside_largest_piece(mask(*parts)) == pytest.approx(share)


def test_average_precision_is_cocos(scene):
    pytest.importorskip("pycocotools")
    true = [Labelled(mask(SQUARE), 3), Labelled(mask(OTHER), 5)]
    assert average_precision([(true, true)]) == pytest.approx(1)
    assert average_precision([(true, true[:1])]) == pytest.approx(0.5)  # one class of two
    assert average_precision([(true, [])]) == 0
    wrong_first = [Labelled(mask(OTHER), 3, 0.9), Labelled(mask(SQUARE), 3, 0.5), Labelled(mask(OTHER), 5, 0.9)]
    assert average_precision([(true, wrong_first)]) == pytest.approx(0.75)  # 0.5 of class 3, 1 of class 5
