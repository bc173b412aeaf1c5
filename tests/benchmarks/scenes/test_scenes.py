"""The synthetic scenes: exact labels, nameable objects, held-out combinations, nothing left to chance but the seed."""

from __future__ import annotations

import colorsys
import json
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from wordmask import rle
from wordmask.rle import RLE
from wordmask_bench import scenes
from wordmask_bench.scenes.__main__ import main
from wordmask_bench.scenes.coverage import coverage, place
from wordmask_bench.scenes.shapes import SHAPES
from wordmask_bench.scenes.words import Combinations

HUES = {"red": 356, "green": 137, "blue": 230, "yellow": 53, "purple": 284, "orange": 29}  # degrees


@cache
def some_scenes(combinations: Combinations = "test", count: int = 80) -> tuple[scenes.Scene, ...]:
    return tuple(scenes.generate(seed, combinations=combinations, size=(240, 272)) for seed in range(count))


def eroded(mask: np.ndarray, by: int = 1) -> np.ndarray:
    return cv2.erode(mask.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)).astype(bool)


def dilated(mask: np.ndarray, by: int = 1) -> np.ndarray:
    return ~eroded(~mask, by)


def test_the_same_seed_gives_the_same_scene_whatever_was_drawn_before() -> None:
    first = scenes.generate(7)
    np.random.seed(1)  # the global states must not matter
    cv2.setRNGSeed(5)
    scenes.generate(8)
    again = scenes.generate(7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.class_map.tobytes() == again.class_map.tobytes()
    assert [(i.word, i.box) for i in first.instances] == [(i.word, i.box) for i in again.instances]


def test_another_process_and_thread_count_give_the_same_scene() -> None:
    code = (
        "import cv2, hashlib; cv2.setNumThreads(1); from wordmask_bench import scenes\n"
        "print(hashlib.sha256(b''.join(scenes.generate(s).image.tobytes() for s in range(6))).hexdigest())"
    )
    digests = {subprocess.check_output([sys.executable, "-c", code]) for _ in range(2)}
    here = subprocess.check_output([sys.executable, "-c", code.replace("setNumThreads(1)", "setNumThreads(2)")])
    assert digests == {here}


def test_seeds_and_combinations_give_different_scenes() -> None:
    kinds: tuple[Combinations, ...] = ("train", "test", "unseen")
    made = [scenes.generate(seed, combinations=kind, size=(64, 96)) for seed in range(4) for kind in kinds]
    assert len({scene.image.tobytes() for scene in made}) == len(made)


def test_masks_are_disjoint_and_with_the_background_make_up_the_class_map() -> None:
    words = scenes.vocabulary()
    for scene in some_scenes():
        assert 1 <= len(scene.instances) <= 8
        assert np.sum([i.mask for i in scene.instances], axis=0).max() == 1
        expected = np.full(scene.class_map.shape, words.index(scene.background))
        for instance in scene.instances:
            assert words[instance.class_index] == instance.word
            expected[instance.mask] = words.index(instance.word)
        np.testing.assert_array_equal(scene.class_map, expected)
        assert scene.words == tuple(words[i] for i in np.unique(scene.class_map))


def test_boxes_are_those_of_the_masks() -> None:
    for scene in some_scenes():
        for instance in scene.instances:
            rows, columns = np.nonzero(instance.mask)
            assert instance.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_masks_follow_the_painted_outline() -> None:
    """Around plain objects, colour halfway between the object's and the background's divides as the mask does."""
    found = []
    for scene in some_scenes("train", 200):
        muted = scene.class_map >= 40
        for instance in scene.instances:
            inside, close = eroded(instance.mask, 2), dilated(instance.mask, 4)
            outside = close & ~dilated(instance.mask, 2) & muted
            if instance.word not in ("red plain", "green plain", "blue plain") or inside.sum() < 100:
                continue
            if scene.background == "grass" or outside.sum() < 100:
                continue  # too alike, or covered by others
            channel = ("red plain", "green plain", "blue plain").index(instance.word)
            picture = scene.image.astype(float)
            excess = picture[..., channel] - np.delete(picture, channel, axis=2).mean(axis=2)
            level = (np.median(excess[inside]) + np.median(excess[outside])) / 2
            compared = close & (instance.mask | muted)
            seen, mask = (excess > level)[compared], instance.mask[compared]
            found.append((seen & mask).sum() / (seen | mask).sum())
    assert len(found) >= 15
    assert np.median(found) > 0.95  # blur and noise move single pixels of the border
    assert min(found) > 0.85


def test_sides_lie_between_224_and_640_and_their_ratio_varies() -> None:
    shapes = [scenes.generate(seed).image.shape[:2] for seed in range(25)]
    assert all(224 <= side <= 640 for shape in shapes for side in shape)
    ratios = [height / width for height, width in shapes]
    assert min(ratios) < 0.7
    assert max(ratios) > 1.4


@pytest.mark.parametrize("size", [(64, 64), (64, 640), (501, 223)])
def test_an_asked_size_is_kept(size: tuple[int, int]) -> None:
    scene = scenes.generate(3, size=size)
    assert scene.image.shape == (*size, 3)
    assert scene.class_map.shape == scene.instances[0].mask.shape == size


def test_objects_from_12_pixels_to_half_the_scene_occur() -> None:
    boxes = [instance.box for scene in some_scenes() for instance in scene.instances]
    longest = np.array([max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes])
    assert longest.min() <= 13
    assert longest.max() >= 120
    assert 0.1 < (longest < 24).mean() < 0.4


def test_some_objects_are_occluded_and_some_cut_by_the_frame() -> None:
    edges = [i.mask[[0, -1]].any() or i.mask[:, [0, -1]].any() for s in some_scenes() for i in s.instances]
    assert 0.03 < np.mean(edges) < 0.4
    overlapping = 0
    for scene in some_scenes():
        for front, back in zip(scene.instances, scene.instances[1:], strict=False):
            overlapping += bool((dilated(front.mask) & back.mask).any())  # they touch
    assert overlapping >= 10


def test_objects_of_one_colour_do_not_touch() -> None:
    for scene in some_scenes():
        for i, one in enumerate(scene.instances):
            for other in scene.instances[i + 1 :]:
                if one.word.split()[0] == other.word.split()[0]:
                    assert not (dilated(one.mask) & other.mask).any()


def test_held_out_combinations_are_never_trained_and_are_the_unseen_ones() -> None:
    assert len(scenes.HELD_OUT) == 8
    assert set(scenes.HELD_OUT) < set(scenes.vocabulary())
    trained = {i.word for scene in some_scenes("train", 200) for i in scene.instances}
    assert not trained & scenes.HELD_OUT
    assert trained == set(scenes.vocabulary()[:40]) - scenes.HELD_OUT
    assert {i.word for scene in some_scenes("unseen", 60) for i in scene.instances} == scenes.HELD_OUT


def test_each_colour_and_each_pattern_is_trained() -> None:
    trained = [word.split() for word in scenes.vocabulary()[:40] if word not in scenes.HELD_OUT]
    assert min(Counter(colour for colour, _ in trained).values()) >= 4
    assert min(Counter(pattern for _, pattern in trained).values()) >= 6


def test_every_word_occurs() -> None:
    assert len(scenes.vocabulary()) == len(set(scenes.vocabulary())) == 48
    present = Counter(word for scene in some_scenes("test", 160) for word in scene.words)
    assert set(present) == set(scenes.vocabulary())


def inside_of_large_objects(colours: tuple[str, ...]) -> list[tuple[str, str, np.ndarray]]:
    """(colour, pattern, pixels f64 (N, 3)) of objects with at least 300 pixels away from the outline."""
    found = []
    for scene in some_scenes("test", 160):
        for instance in scene.instances:
            colour, pattern = instance.word.split()
            inner = eroded(instance.mask, 2)
            if colour in colours and inner.sum() >= 300:
                found.append((colour, pattern, scene.image[inner].astype(float)))
    assert len(found) > 60
    return found


def test_a_chromatic_objects_colourful_pixels_have_its_hue() -> None:
    for colour, pattern, pixels in inside_of_large_objects(tuple(HUES)):
        spread = pixels.max(axis=1) - pixels.min(axis=1)
        base = np.median(pixels[spread >= np.quantile(spread, 0.7)], axis=0) / 255
        hue, saturation, _ = colorsys.rgb_to_hsv(*base)
        nearest = min(HUES, key=lambda name: abs((hue * 360 - HUES[name] + 180) % 360 - 180))
        assert nearest == colour, (colour, pattern, hue * 360)
        assert saturation > 0.5


def test_white_and_black_objects_are_neutral_and_keep_their_end_of_the_grey_scale() -> None:
    for colour, pattern, pixels in inside_of_large_objects(("white", "black")):
        level = pixels.mean()
        assert level > 130 if colour == "white" else level < 110, (colour, pattern, level)
        middle = np.median(pixels, axis=0)
        assert np.ptp(middle) < 30


def test_patterns_show_and_plain_objects_have_none() -> None:
    """Deviation of the channel that varies most; of plain objects' darkest channel, which a highlight moves least."""
    spreads: dict[bool, list[float]] = {True: [], False: []}
    for _, pattern, pixels in inside_of_large_objects((*HUES, "white", "black")):
        values = pixels.min(axis=1, keepdims=True) if pattern == "plain" else pixels
        spreads[pattern == "plain"].append(float(values.std(axis=0).max()))
    assert np.quantile(spreads[True], 0.95) < 15 < min(spreads[False])
    assert max(spreads[True]) < 25 < np.quantile(spreads[False], 0.1)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_shapes_box_has_the_asked_extent_at_every_turn(shape: object) -> None:
    rng = np.random.default_rng(0)
    for rotation in np.linspace(0, 6, 9):
        alpha = coverage(place(shape(rng), 60, rotation, 0.8))  # type: ignore[operator]
        assert max(alpha.shape) == 60
        assert alpha.any(axis=0).all() or alpha.any(axis=1).all()


def test_coverage_counts_parts_of_pixels() -> None:
    alpha = coverage([np.array([[0.0, 0.0], [4.5, 0.0], [4.5, 2.0], [0.0, 2.0]])])
    assert (alpha[:, :4] == 255).all()
    # Half of the last column is covered; the filler counts samples on an edge as inside, here one of four.
    np.testing.assert_allclose(alpha[:, 4], 127.5, atol=64)


def test_wrong_arguments_say_what_is_expected() -> None:
    with pytest.raises(ValueError, match="give one of train, test, unseen"):
        scenes.generate(0, combinations="all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 64 x 64"):
        scenes.generate(0, size=(32, 100))
    with pytest.raises(ValueError, match="seed is -1"):
        scenes.generate(-1)


def test_a_written_folder_holds_the_scenes(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--count", "3", "--seed", "20", "--size", "96", "128"]
    assert main(arguments) == 0
    words = (tmp_path / "words.txt").read_text().splitlines()
    assert tuple(words) == scenes.vocabulary()
    document = json.loads((tmp_path / "annotations.json").read_text())
    assert [c["name"] for c in document["categories"]] == words
    left = list(document["annotations"])
    for image, seed in zip(document["images"], (20, 21, 22), strict=True):
        scene = scenes.generate(seed, combinations="test", size=(96, 128))
        picture = np.asarray(Image.open(tmp_path / "images" / image["file_name"]))
        np.testing.assert_array_equal(picture, scene.image)
        labels = np.asarray(Image.open(tmp_path / "labels" / image["file_name"]))
        np.testing.assert_array_equal(labels, scene.class_map + 1)
        for instance in scene.instances:
            annotation = left.pop(0)
            assert annotation["image_id"] == image["id"]
            assert words[annotation["category_id"] - 1] == instance.word
            code = annotation["segmentation"]
            np.testing.assert_array_equal(rle.decode(RLE((96, 128), code["counts"])), instance.mask)
            assert annotation["area"] == instance.mask.sum()
    assert not left


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file"), "--count", "1", "--size", "64", "64"]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\nfrom wordmask_bench import scenes; scenes.generate(0, size=(64, 64))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
