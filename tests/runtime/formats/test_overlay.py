"""The picture for people: what changes, in which colour, and what stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.formats import overlay
from wordmask.formats.palette import voc_palette
from wordmask.objects import masks
from wordmask.types import Instance, Segmentation

Picture = NDArray[np.uint8]
SIZE = (300, 400)


def photo(size: tuple[int, int] = SIZE) -> Picture:
    rng = np.random.default_rng(0)
    return np.asarray(cv2.GaussianBlur(rng.integers(0, 256, (*size, 3), dtype=np.uint8), (0, 0), 3), dtype=np.uint8)


def rectangle(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = SIZE) -> BoolMask:
    mask = np.zeros(size, dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def instance(
    mask: BoolMask,
    class_index: int = 0,
    score: float = 0.9,
    word: str = "dog",
    points: tuple[tuple[float, float, int], ...] = (),
) -> Instance:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    at = points or (((box[0] + box[2]) / 2, (box[1] + box[3]) / 2, 1),)
    xy, labels = np.array([p[:2] for p in at], dtype=np.float32), np.array([p[2] for p in at], dtype=np.int32)
    return Instance(word, class_index, rle.encode(mask), box, int(mask.sum()), score, 1.0, score, xy, labels)


def segmentation(*instances: Instance, size: tuple[int, int] = SIZE) -> Segmentation:
    semantic = masks.paint(instances, size)
    ordered = tuple(sorted(instances, key=lambda one: -one.score))
    return Segmentation(("dog",), semantic, semantic, np.ones(size, np.float32), ordered, (1.0,), len(instances), {})


def changed(before: Picture, after: Picture) -> BoolMask:
    return np.asarray((before != after).any(axis=2))


def test_the_palette_is_that_of_the_voc_development_kit() -> None:
    palette = voc_palette()
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert palette[:7].tolist() == first
    assert palette[[15, 20, 64, 255]].tolist() == [[192, 128, 128], [0, 64, 128], [32, 0, 0], [224, 224, 192]]
    assert len(np.unique(palette, axis=0)) == 256


@pytest.mark.parametrize(("class_index", "colour"), [(0, 1), (14, 15), (254, 255), (255, 1)])
def test_a_mask_takes_on_the_colour_of_its_class(class_index: int, colour: int) -> None:
    before = photo()
    after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250), class_index)))
    inside = np.s_[200:240, 110:290]  # away from outline, point and label
    target = voc_palette()[colour].astype(float)
    old, new = np.abs(before[inside] - target), np.abs(after[inside] - target)
    assert (new <= 0.6 * old + 1).all()
    assert (new >= 0.5 * old - 1).all()  # and the photo shows through


def test_outside_masks_and_labels_the_photo_is_untouched() -> None:
    before = photo()
    after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250))))
    outside = np.ones(SIZE, dtype=bool)
    outside[97:253, 97:303] = False
    assert not changed(before, after)[outside].any()


def test_the_outline_stands_out_from_the_tint() -> None:
    before = np.full((*SIZE, 3), 100, dtype=np.uint8)
    after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250)))).astype(int)
    tint = after[230, 200]
    assert np.abs(after[230, 100] - tint).max() > 25
    assert np.abs(after[100, 120] - tint).max() > 25


def test_where_masks_overlap_the_higher_score_shows() -> None:
    before = np.full((*SIZE, 3), 100, dtype=np.uint8)
    low, high = instance(rectangle(50, 50, 350, 280), 0, 0.3), instance(rectangle(150, 150, 350, 280), 1, 0.8)
    after = overlay.draw(before, segmentation(low, high))
    alone = overlay.draw(before, segmentation(high))
    np.testing.assert_array_equal(after[260, 200:300], alone[260, 200:300])


def test_the_label_has_the_colour_of_the_class_and_legible_letters() -> None:
    before = photo()
    for class_index in range(20):
        after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250), class_index)))
        label = after[155:171, 185:215].reshape(-1, 3).astype(int)  # above the point in the middle
        colour = voc_palette()[class_index + 1].astype(int)
        plate = (label == colour).all(axis=1)
        assert plate.sum() > 100
        weights = np.array((0.299, 0.587, 0.114))
        assert np.abs(label @ weights - colour @ weights).max() > 100


def test_the_label_differs_with_word_and_score() -> None:
    pictures = [
        overlay.draw(photo(), segmentation(instance(rectangle(100, 100, 300, 250), 0, score, word)))
        for word, score in (("dog", 0.9), ("cat", 0.9), ("dog", 0.4))
    ]
    assert changed(pictures[0], pictures[1]).any()
    assert changed(pictures[0], pictures[2]).any()


@pytest.mark.parametrize("corner", [(0, 0), (390, 0), (0, 290), (390, 290)])
def test_labels_stay_inside_the_picture(corner: tuple[int, int]) -> None:
    before = photo()
    x, y = corner
    after = overlay.draw(before, segmentation(instance(rectangle(x, y, x + 10, y + 10), word="a long word")))
    # The whole plate is in the picture: as much of it as in the middle.
    middle = overlay.draw(before, segmentation(instance(rectangle(195, 145, 205, 155), word="a long word")))
    plate = voc_palette()[1]
    assert (after == plate).all(axis=2).sum() == pytest.approx((middle == plate).all(axis=2).sum(), rel=0.15)


def test_labels_do_not_cover_each_other() -> None:
    before = photo()
    near = [instance(rectangle(190 + 4 * i, 140, 200 + 4 * i, 150), i, 0.9 - i / 10) for i in range(3)]
    after = overlay.draw(before, segmentation(*near))
    for one in near:
        alone = overlay.draw(before, segmentation(one))
        plate = voc_palette()[one.class_index + 1]
        expected = (alone == plate).all(axis=2).sum()
        assert (after == plate).all(axis=2).sum() >= 0.9 * expected


def test_positive_and_negative_points_are_told_apart_by_colour() -> None:
    before = np.full((*SIZE, 3), 100, dtype=np.uint8)
    points = ((200.0, 200.0, 1), (50.0, 50.0, 0), (100.0, 100.0, 2), (299.0, 249.0, 3))
    after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250), points=points))).astype(int)
    positive, negative = after[200, 200], after[52, 50]  # beside the bar of the negative one
    assert positive[1] > positive[0] + 50
    assert negative[0] > negative[1] + 50
    assert (after[198:203, 196:205].min(axis=2) > 200).any()  # its white ring
    without = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250), points=points[:2])))
    np.testing.assert_array_equal(after, without)  # the corners of a box are no dots


def test_lines_and_letters_grow_with_the_photo() -> None:
    pictures = []
    for scale in (1, 5):
        size = (SIZE[0] * scale, SIZE[1] * scale)
        mask = rectangle(100 * scale, 100 * scale, 300 * scale, 250 * scale, size)
        pictures.append(overlay.draw(np.zeros((*size, 3), np.uint8), segmentation(instance(mask), size=size)))
    plates = [(picture == voc_palette()[1]).all(axis=2).sum() for picture in pictures]
    assert plates[1] > 3 * plates[0]


@pytest.mark.parametrize("word", ["café", "naïve Straße", "木", "two\nlines", "😀", ""])
def test_any_word_can_be_drawn(word: str) -> None:
    plain = overlay.draw(photo(), segmentation(instance(rectangle(100, 100, 300, 250), word="?")))
    after = overlay.draw(photo(), segmentation(instance(rectangle(100, 100, 300, 250), word=word)))
    assert after.shape == plain.shape
    assert changed(photo(), after)[150:175, 180:220].all()


def test_without_any_font_accents_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay, "_FONTS", ())
    overlay._font.cache_clear()
    one, two = (
        overlay.draw(photo(), segmentation(instance(rectangle(100, 100, 300, 250), word=word)))
        for word in ("crème brûlée 木", "creme brulee ?")
    )
    overlay._font.cache_clear()
    np.testing.assert_array_equal(one, two)


def test_the_photo_itself_is_not_drawn_on_and_an_empty_result_leaves_it_as_it_is() -> None:
    before = photo()
    kept = before.copy()
    overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250))))
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(overlay.draw(before, segmentation()), kept)


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the result belongs to"):
        overlay.draw(photo((30, 40)), segmentation())
