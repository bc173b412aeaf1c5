"""Which of SAM2's four masks for a prompt is taken."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.backends.device import parse_device
from wordmask.bundle.manifest import Sam2
from wordmask.objects.device_graphs import load_pick
from wordmask.objects.mask_choice import (
    Candidates,
    choose_as_sam2,
    choose_by_region,
    prompted_regions,
    stability,
)
from wordmask.types import Prompt

SIDE = 8
CONSTANTS = Sam2(image_size=32, mask_size=SIDE, mask_threshold=0.0)
IOU = np.array([[0.9, 0.2, 0.8, 0.7], [0.1, 0.6, 0.6, 0.5]], np.float32)


def square(size, inside=5.0):
    """Logits of a square in the grid's corner."""
    logits = np.full((SIDE, SIDE), -5, np.float32)
    logits[:size, :size] = inside
    return logits


def prompts(*labels, x=1.0, class_index=0):
    points = np.full((len(labels), 2), x, np.float32)
    return [Prompt(class_index, points, np.array(labels, np.int32), 0.9, 9)] * 2


def candidates(iou=IOU, inside=5.0):
    masks = np.stack([square(size, inside) for size in (6, 2, 4, 8)])
    return Candidates(np.stack([masks, masks]), iou)


def test_a_click_takes_the_best_of_three_by_estimated_iou_and_the_first_of_equals():
    assert choose_as_sam2(candidates(), prompts(1), CONSTANTS).tolist() == [2, 1]


@pytest.mark.parametrize("labels", [(1, 1), (1, 0), (2, 3), (2, 3, 1)])
def test_several_points_or_a_box_take_the_first_mask(labels):
    assert choose_as_sam2(candidates(), prompts(*labels), CONSTANTS).tolist() == [0, 0]


def test_an_unstable_first_mask_gives_way_to_the_best_of_three():
    faint = candidates(inside=0.01)  # in the mask, but not at the raised threshold
    assert choose_as_sam2(faint, prompts(1, 1), CONSTANTS).tolist() == [2, 1]


def test_stability_is_the_iou_at_two_thresholds():
    mask = square(4)
    mask[4, :4], mask[5, :2] = 0.04, -0.04  # 4 pixels within the raised threshold's reach, 2 within the lowered one's
    np.testing.assert_allclose(stability(np.stack([mask, square(0)]), 0.05), [16 / 22, 1])


def test_the_region_decides_between_part_object_and_whole():
    class_map = np.ones((16, 32), np.int64)  # of a wide photo
    class_map[:8, :16] = 0  # half of the grid's rows and columns, as the mask of 4 x 4
    choice = choose_by_region(class_map)(candidates(np.full((2, 4), 0.9, np.float32)), prompts(1), CONSTANTS)
    assert choice.tolist() == [2, 2]


def test_estimates_tell_masks_apart_that_fit_the_region_alike():
    class_map = np.zeros((16, 16), np.int64)
    equal = np.stack([square(8)] * 4)
    iou = np.array([[0.2, 0.9, 0.5, 0.1], [0.8, 0.1, 0.1, 0.1]], np.float32)
    choice = choose_by_region(class_map)(Candidates(np.stack([equal, equal]), iou), prompts(1), CONSTANTS)
    assert choice.tolist() == [1, 0]


def test_without_a_region_on_the_grid_sam2s_choice_is_taken():
    nowhere = np.ones((16, 16), np.int64)
    assert choose_by_region(nowhere)(candidates(), prompts(1), CONSTANTS).tolist() == [2, 1]


def test_a_prompts_region_is_the_connected_part_under_its_positive_points():
    class_map = np.ones((SIDE, SIDE), np.int64)
    class_map[:2, :2] = class_map[6:, 6:] = 0
    both = Prompt(0, np.array([[0, 0], [7, 7], [4, 4]], np.float32), np.array([1, 0, 1], np.int32), 0.9, 4)
    (region,) = prompted_regions(class_map, [both], SIDE)
    assert region[:2, :2].all()
    assert region.sum() == 4  # neither the part under the negative point nor another class under a positive one


def test_the_device_brings_back_the_chosen_masks_alone():
    random = np.random.default_rng(0)
    masks = random.standard_normal((5, 4, SIDE, SIDE)).astype(np.float32)

    class OnDevice:
        shape, dtype = masks.shape, masks.dtype

        def numpy(self):
            raise AssertionError("all masks come to the host")

    class Pick:
        def run(self, inputs, keep=()):
            assert isinstance(inputs["masks"], OnDevice)
            return graph.run({**inputs, "masks": masks})

    graph = load_pick(parse_device("cpu"))
    choice = np.array([3, 0, 1, 2, 0])
    found = Candidates(OnDevice(), np.zeros((5, 4), np.float32), Pick()).take(choice)
    np.testing.assert_array_equal(found, masks[np.arange(5), choice])
