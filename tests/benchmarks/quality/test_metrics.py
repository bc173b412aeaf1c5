"""Quality figures: arithmetic by brute force, and what `wordmask eval` says of maps that are known."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from wordmask.bundle.opening import open_bundle
from wordmask.cli.main import main
from wordmask_bench.quality.metrics import Confusion, boundary, deepest_point, iou, is_small, mean
from wordmask_bench.quality.objects import OBJECT_ROWS, SIZES
from wordmask_bench.quality.scenes import MAPS, WORDS, SceneReport, Tally, click_ious, table, to_dict
from wordmask_bench.scenes import HELD_OUT, generate


def test_iou_is_that_of_a_brute_force():
    rng = np.random.default_rng(0)
    confusion = Confusion(4)
    maps = [(rng.integers(0, 3, (9, 7)), rng.integers(0, 5, (9, 7))) for _ in range(3)]  # class 3 is never true
    for true, found in maps:
        confusion.add(true, found)
    true, found = (np.concatenate([pair[i] for pair in maps]) for i in (0, 1))
    expected = [((true == c) & (found == c)).sum() / ((true == c) | (found == c)).sum() for c in range(3)]
    np.testing.assert_allclose(confusion.iou(), [*expected, np.nan])
    assert mean(confusion.iou()) == pytest.approx(np.mean(expected))
    assert confusion.accuracy() == pytest.approx((true == found).mean())


def test_pixels_without_a_class_and_those_left_out_do_not_count():
    confusion = Confusion(2)
    true, found = np.array([[0, 1, 255, 0]]), np.array([[0, 2, 0, 1]])
    confusion.add(true, found, np.array([[True, True, True, False]]))
    np.testing.assert_array_equal(confusion.counts, [[1, 0, 0], [0, 0, 1]])


def test_the_band_reaches_as_far_as_asked_on_both_sides():
    labels = np.zeros((5, 20), np.uint16)
    labels[:, 10:] = 7
    band = boundary(labels, 3)
    assert band[2].nonzero()[0].tolist() == [7, 8, 9, 10, 11, 12]


def test_a_mean_of_nothing_is_not_a_number():
    assert np.isnan(mean(np.full(3, np.nan)))


def test_two_empty_masks_do_not_agree():
    assert iou(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 0.0
    assert iou(np.eye(2, dtype=bool), np.ones((2, 2), bool)) == 0.5


def test_the_deepest_point_of_a_ring_is_in_the_ring():
    y, x = np.mgrid[:41, :41] - 20
    ring = (np.hypot(x, y) < 20) & (np.hypot(x, y) > 10)
    point = deepest_point(ring)
    assert ring[int(point[1]), int(point[0])]
    assert 14 <= np.hypot(point[0] - 20.5, point[1] - 20.5) <= 16


def test_smallness_is_of_the_longer_side():
    assert is_small((0, 0, 23, 23))
    assert not is_small((0, 0, 2, 24))


def test_a_perfect_map_scores_one_everywhere_and_an_empty_one_nothing():
    scene = next(s for s in map(generate, range(50)) if any(is_small(thing.box) for thing in s.instances))
    perfect, empty = Tally(), Tally()
    perfect.add(scene, scene.class_map.astype(np.int64))
    empty.add(scene, np.full(scene.class_map.shape, len(WORDS)))
    figures = perfect.figures()
    assert np.isnan(figures.pop("miou_unseen"))  # a scene of the training's words
    assert set(figures.values()) == {1.0}
    assert {value for value in empty.figures().values() if not np.isnan(value)} == {0.0}


def test_words_never_trained_are_counted_apart():
    scene = generate(3, combinations="unseen")
    tally = Tally()
    found = scene.class_map.astype(np.int64)
    wrong = scene.instances[0].mask
    found[wrong] = len(WORDS)
    tally.add(scene, found)
    assert scene.instances[0].word in HELD_OUT
    assert tally.figures()["miou_unseen"] < tally.figures()["miou"] < 1


class Oracle:
    """Stands in for SAM2: knows the masks, and follows only a click that is inside."""

    def __init__(self, scene, manifest):
        self.scene, self.manifest = scene, manifest

    def encode(self, photo):
        assert photo is self.scene.image

    def decode(self, encoded, prompts):
        logits = []
        for prompt in prompts:
            x, y = (int(v) for v in prompt.points[0])
            owner = next(thing for thing in self.scene.instances if thing.mask[y, x])
            logits.append(np.where(owner.mask, 1.0, -1.0).astype(np.float32))
        return np.stack(logits), np.ones(len(prompts), np.float32)


def test_clicks_are_inside_their_objects_and_masks_are_compared_at_the_scenes_size():
    scene, manifest = generate(11), open_bundle("tiny").manifest
    assert click_ious(Oracle(scene, manifest), scene) == [1.0] * len(scene.instances)


@pytest.fixture
def report():
    figures = dict.fromkeys(
        ("miou", "miou_objects", "miou_unseen", "miou_band", "accuracy", "small_found"), float("nan")
    )
    maps = {name: {**figures, "miou": 0.1 * i} for i, name in enumerate(MAPS, start=1)}
    by_size = [f"found_{limit}_{name}" for limit in (50, 75) for name in SIZES]
    objects = dict.fromkeys((*OBJECT_ROWS, *by_size), 0.25) | {"ap": float("nan"), "found_75_large": 0.5}
    return SceneReport(
        maps, objects, 1.25, 1.125, 0.9, {"small": 0.8, "medium": float("nan"), "large": 1.0}, 4.0, 1 - 4 / 1024, 0.5, 3
    )


def test_json_has_null_for_what_does_not_exist(report):
    row = json.loads(json.dumps(to_dict(report), allow_nan=False))
    assert row["maps"]["loftup"]["miou"] == pytest.approx(0.2)
    assert row["maps"]["loftup"]["small_found"] is None
    assert (row["objects"]["off_word"], row["objects"]["ap"]) == (0.25, None)
    assert row["click_by_area"] == {"small": 0.8, "medium": None, "large": 1.0}
    assert set(row) == {field.name for field in dataclasses.fields(SceneReport)}


def test_the_table_puts_the_maps_side_by_side_and_the_objects_below(report):
    text = table(report)
    assert "| mIoU | 0.100 | 0.200 | 0.300 | 0.400 |" in text
    assert "never trained" not in text  # no map has the figure
    assert "| masks off their word | 0.25 |" in text
    assert "at IoU 0.75 small 0.250, medium 0.250, large 0.500" in text
    assert "99.6% fewer" in text
    assert "within 4 pixels of a window's border: 1.25 times those elsewhere, 1.12 times" in text


@pytest.mark.parametrize(("dataset", "least"), [("scenes", 0.8), ("things-unseen", 0.5)])  # things are unknown to it
def test_eval_prints_the_table_and_writes_the_figures(dataset, least, fast_tiny, tmp_path, capsys):
    asked = ["eval", "--dataset", dataset, "--bundle", str(fast_tiny), "--limit", "2"]
    assert main([*asked, "--json", str(tmp_path / "f.json")]) == 0
    assert "2 scenes" in capsys.readouterr().out
    row = json.loads((tmp_path / "f.json").read_text())
    assert (row["dataset"], row["scenes"]) == (dataset, 2)
    assert row["maps"]["loftup"]["accuracy"] > least
    assert 0 < row["seam"] < 10


@pytest.mark.parametrize("wrong", [["--limit", "0"], ["--workers", "-1"]])
def test_eval_refuses_numbers_that_mean_nothing(wrong, capsys):
    assert main(["eval", "--dataset", "scenes", *wrong]) == 2
    assert f"{wrong[0]} is {wrong[1]}" in capsys.readouterr().err


def test_figures_that_could_not_be_kept_are_not_measured(tmp_path, capsys):
    assert main(["eval", "--dataset", "scenes", "--limit", "2", "--json", str(tmp_path / "none" / "f.json")]) != 0
    told = capsys.readouterr()
    assert "f.json" in told.err
    assert told.out == ""
