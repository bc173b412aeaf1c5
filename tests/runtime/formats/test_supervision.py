"""Results as supervision.Detections: with a stand-in that takes what the real one takes, and with the real one."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from stub_segmenter import segmented
from wordmask.errors import MissingExtraError


def result(*, blank: bool = False):
    photo = np.zeros((20, 30, 3), np.uint8)
    if not blank:
        photo[2:8, 3:12, 1] = photo[10:15, 20:30, 0] = 255
    return segmented(photo, ("red", "green"), {})


class Detections(SimpleNamespace):
    """Keeps what it is given."""


@pytest.fixture(params=["stand-in", "real"])
def supervision(request, monkeypatch):
    if request.param == "real":
        return pytest.importorskip("supervision")
    stand_in = SimpleNamespace(Detections=Detections, __spec__=SimpleNamespace(name="supervision"))
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    return stand_in


def test_detections_hold_boxes_masks_scores_and_words(supervision):
    segmentation = result()
    found = segmentation.to_supervision()
    assert isinstance(found, supervision.Detections)
    np.testing.assert_array_equal(found.xyxy, [[20, 10, 30, 15], [3, 2, 12, 8]])
    np.testing.assert_array_equal(found.class_id, [0, 1])
    np.testing.assert_array_equal(found.data["class_name"], ["red", "green"])
    np.testing.assert_allclose(found.confidence, [each.score for each in segmentation.instances])
    for i in range(2):
        np.testing.assert_array_equal(found.mask[i], segmentation.semantic == i + 1)


def test_nothing_found_is_no_detections_of_the_photos_size(supervision):
    found = result(blank=True).to_supervision()
    assert (found.xyxy.shape, found.mask.shape) == ((0, 4), (0, 20, 30))


def test_without_supervision_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingExtraError, match=r"'\.\[supervision\]'"):
        result().to_supervision()
