"""Scenes of drawn things: exact labels, drawings and photos that training never sees, nothing left to chance."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from functools import cache

import cv2
import numpy as np
import pytest

from wordmask_bench import things
from wordmask_bench.quality.metrics import Confusion
from wordmask_bench.quality.scenes import Tally, scene_words
from wordmask_bench.quality.worlds import WORLDS
from wordmask_bench.scenes import BACKGROUNDS, Combinations, Scene
from wordmask_bench.things.behind import background
from wordmask_bench.things.drawings import DATA, HELD_OUT_PHOTOS, drawings, photos
from wordmask_bench.things.placing import LEAST_EXTENT, MOST_EXTENT, arrange

KINDS: tuple[Combinations, ...] = ("train", "test", "unseen")


@cache
def some_scenes(combinations: Combinations = "test", count: int = 40) -> tuple[Scene, ...]:
    return tuple(things.generate(seed, combinations=combinations, size=(240, 272)) for seed in range(count))


def test_the_same_seed_gives_the_same_scene_whatever_was_drawn_before():
    first = things.generate(7)
    np.random.seed(1)  # the global states must not matter
    cv2.setRNGSeed(5)
    things.generate(8)
    again = things.generate(7)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.class_map.tobytes() == again.class_map.tobytes()


def test_another_process_and_thread_count_give_the_same_scenes():
    code = (
        "import cv2, hashlib, sys; cv2.setNumThreads(1); from wordmask_bench import things\n"
        "sys.stdout.write(hashlib.sha256(b''.join(things.generate(s).image.tobytes() for s in range(6))).hexdigest())"
    )
    here = hashlib.sha256(b"".join(things.generate(seed).image.tobytes() for seed in range(6))).hexdigest()
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == here


def test_seeds_and_combinations_give_different_scenes():
    made = [things.generate(seed, combinations=kind, size=(64, 96)) for seed in range(4) for kind in KINDS]
    assert len({scene.image.tobytes() for scene in made}) == len(made)


def test_masks_are_disjoint_and_with_the_background_make_up_the_class_map():
    for scene in some_scenes():
        assert 1 <= len(scene.instances) <= 8
        assert np.sum([thing.mask for thing in scene.instances], axis=0).max() == 1
        expected = np.full(scene.class_map.shape, things.classes().index(scene.background))
        for thing in scene.instances:
            expected[thing.mask] = things.classes().index(thing.word)
            rows, columns = (np.flatnonzero(thing.mask.any(axis=axis)) for axis in (1, 0))
            assert thing.box == (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        assert np.array_equal(scene.class_map, expected)
        assert set(scene.words) == {things.classes()[i] for i in np.unique(expected)} - {things.NO_WORD}


def test_a_thing_covers_its_mask():
    """Scenes without and with a thing differ within its mask, and away from it only by shadow and grain."""
    shares = []
    for scene in some_scenes():
        for thing in scene.instances:
            ring = cv2.dilate(thing.mask.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
            ring &= scene.class_map == things.classes().index(scene.background)
            inside, outside = (scene.image[where].astype(float) for where in (thing.mask, ring))
            shares.append(np.abs(inside.mean(0) - outside.mean(0)).max() if ring.any() else np.nan)
    assert np.nanmedian(shares) > 40


def test_every_word_is_drawn_in_training_and_many_have_held_out_drawings():
    trained, held_out = drawings(held_out=False), drawings(held_out=True)
    assert [drawing.word for drawing in trained] == sorted(
        (drawing.word for drawing in trained), key=things.vocabulary().index
    )
    assert {drawing.word for drawing in trained} == set(things.vocabulary())
    assert len({drawing.word for drawing in held_out}) >= 15
    assert {drawing.name for drawing in trained}.isdisjoint(drawing.name for drawing in held_out)
    files = {path.stem for path in (DATA / "drawings").rglob("*.png")}
    assert files == {drawing.name for drawing in (*trained, *held_out)}


def test_held_out_drawings_and_photos_are_in_no_scene_of_the_training(monkeypatch):
    seen: dict[str, list[set[str]]] = {kind: [] for kind in KINDS}
    asked: dict[str, set[bool]] = {kind: set() for kind in KINDS}
    for kind in KINDS:

        def arranged(rng, chosen, size, kind=kind):
            seen[kind].append({drawing.name for drawing in chosen})
            return arrange(rng, chosen, size)

        def photographed(*, held_out, kind=kind):
            asked[kind].add(held_out)
            return photos(held_out=held_out)

        monkeypatch.setattr("wordmask_bench.things.scene.arrange", arranged)
        monkeypatch.setattr("wordmask_bench.things.behind.photos", photographed)
        for seed in range(6):
            things.generate(seed, combinations=kind, size=(64, 64))
    held_out = {drawing.name for drawing in drawings(held_out=True)}
    assert all(names.isdisjoint(held_out) for kind in ("train", "test") for names in seen[kind])
    assert all(names == held_out for names in seen["unseen"])
    assert asked == {"train": {False}, "test": {True}, "unseen": {True}}
    assert len(photos(held_out=True)) == len(HELD_OUT_PHOTOS)
    assert not any(np.array_equal(a, b) for a in photos(held_out=True) for b in photos(held_out=False))


def test_training_sees_photos_turned_and_in_other_hues_and_the_others_are_shown_as_they_are(monkeypatch):
    photo = np.zeros((480, 640, 3), np.uint8)
    photo[:240, :, 0], photo[240:, :, 2] = 250, 90  # red above dark blue
    monkeypatch.setattr("wordmask_bench.things.behind.photos", lambda *, held_out: (photo,))
    monkeypatch.setattr("wordmask_bench.things.behind._CLUTTER", 0)
    monkeypatch.setattr("wordmask_bench.things.behind._PAINTED", 0.0)

    def drawn(training):
        return [background(np.random.default_rng(i), (240, 320), training=training)[1] for i in range(30)]

    colours = {tuple(colour) for image in drawn(False) for colour in image[[0, -1], [0, -1]].tolist()}
    assert colours == {(250, 0, 0), (0, 0, 90)}
    assert all(image[0, 0, 0] == 250 and image[-1, -1, 2] == 90 for image in drawn(False))
    corners = {tuple(colour) for image in drawn(True) for colour in image[[0, -1], [0, -1]].tolist()}
    assert len(corners) > 6
    assert any((image[0, 0] != image[0, -1]).any() for image in drawn(True))


def test_every_drawing_and_photo_has_its_source_and_licence_beside_it():
    text = (DATA / "LICENCES.md").read_text(encoding="utf-8")
    for path in (*(DATA / "drawings").rglob("*.png"), *(DATA / "photos").iterdir()):
        source = path.stem if "_noto_" not in path.stem else "_noto_"
        assert source in text, path.name


def test_things_are_as_large_as_stated_and_lie_everywhere():
    boxes = [thing.box for scene in some_scenes() for thing in scene.instances]
    extents = np.array([max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes])
    assert extents.max() <= MOST_EXTENT * 240 + 2
    assert np.percentile(extents, 10) < 1.8 * LEAST_EXTENT * 240
    centres = np.array([((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes])
    assert all(centres[:, axis].std() > 0.2 * side for axis, side in enumerate((272, 240)))


@pytest.mark.parametrize(("size", "seed"), [((63, 64), 0), (None, -1)])
def test_arguments_out_of_range_are_refused(size, seed):
    with pytest.raises(ValueError, match="must not be negative" if seed < 0 else "at least 64 x 64"):
        things.generate(seed, size=size)


def test_backgrounds_are_one_class_where_quality_is_measured():
    world = WORLDS["things"]
    kinds = set()
    for seed in range(12):
        plain, scene = things.generate(seed, combinations="test"), world.draw(seed)
        kinds.add(plain.background in BACKGROUNDS)
        behind = ~np.any([thing.mask for thing in scene.instances], axis=0)
        assert (scene.class_map[behind] == world.none).all()
        assert (scene.class_map[~behind] < world.none).all()
        asked = scene_words(scene, seed, world)
        assert len(asked) == len(set(asked)) == len(scene.words) + 12
        assert set(asked) <= set(things.vocabulary())
    assert kinds == {True, False}


def test_what_is_found_on_a_background_lowers_the_iou_of_things():
    world = WORLDS["things"]
    scene = world.draw(0)
    found = scene.class_map.astype(np.int64)
    perfect, spread = Tally(world), Tally(world)
    perfect.add(scene, found)
    found[:40] = found[scene.instances[0].mask][0]
    spread.add(scene, found)
    assert perfect.figures()["miou_objects"] == 1.0
    assert spread.figures()["miou_objects"] < 1.0
    assert isinstance(spread.everywhere, Confusion)
