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
from wordmask.formats.word_colours import contrast, word_colours
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


WORDS = ("dog", *(f"word {i}" for i in range(1, 300)))


def segmentation(*instances: Instance, size: tuple[int, int] = SIZE) -> Segmentation:
    semantic = masks.paint(instances, size)
    ordered = tuple(sorted(instances, key=lambda one: -one.score))
    return Segmentation(WORDS, semantic, semantic, np.ones(size, np.float32), ordered, (1.0,), len(instances), {})


def colour_of(class_index: int) -> NDArray[np.int64]:
    return np.array(word_colours(WORDS)[class_index])


def plate(picture: Picture, class_index: int) -> BoolMask:
    """The pixels of the labels' plates of a class: nothing else has its pure colour but lines."""
    return np.asarray(
        cv2.morphologyEx(
            (picture == colour_of(class_index)).all(axis=2).astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8)
        )
        > 0
    )


def has_colour(pixels: Picture, class_index: int) -> bool:
    """Whether pixels of a smoothed line have the colour of a class."""
    return bool(np.abs(pixels.astype(int) - colour_of(class_index)).max() < 60)


def changed(before: Picture, after: Picture) -> BoolMask:
    return np.asarray((before != after).any(axis=2))


def test_the_palette_is_that_of_the_voc_development_kit() -> None:
    palette = voc_palette()
    first = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128], [0, 128, 128]]
    assert palette[:7].tolist() == first
    assert palette[[15, 20, 64, 255]].tolist() == [[192, 128, 128], [0, 64, 128], [32, 0, 0], [224, 224, 192]]
    assert len(np.unique(palette, axis=0)) == 256


@pytest.mark.parametrize("class_index", [0, 14, 254, 255])
def test_a_mask_is_lightly_filled_with_the_colour_of_its_word(class_index: int) -> None:
    before = photo()
    after = overlay.draw(before, segmentation(instance(rectangle(120, 100, 260, 240), class_index)))
    inside = np.s_[200:230, 130:250]  # away from outline, point and label
    expected = 0.75 * before[inside] + 0.25 * colour_of(class_index)
    assert np.abs(after[inside] - expected).max() <= 1


def test_a_mask_of_more_than_a_fifth_of_the_photo_is_outlined_and_not_filled() -> None:
    before = photo()
    for width, filled in ((79, True), (82, False)):
        mask = rectangle(100, 0, 100 + width, 300)
        after = overlay.draw(before, segmentation(instance(mask, points=((110, 20, 1),))))
        inside = np.s_[200:290, 110 : 90 + width]
        assert changed(before, after)[inside].all() == filled
        assert changed(before, after)[inside].any() == filled
        assert has_colour(after[200:290, 100], 0)


def test_a_small_object_before_a_wall_keeps_its_fill_and_its_outline_whatever_the_scores() -> None:
    before = np.full((*SIZE, 3), 100, dtype=np.uint8)
    hole = rectangle(100, 100, 150, 150)
    wall = instance(~hole, 1, 0.9, points=((10, 10, 1),))
    after = overlay.draw(before, segmentation(wall, instance(hole, 0, 0.5)))
    assert np.abs(after[140, 120] - (75 + 0.25 * colour_of(0))).max() <= 1
    assert has_colour(after[120, 100], 0)


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
    low, high = instance(rectangle(50, 150, 250, 250), 0, 0.3), instance(rectangle(150, 150, 350, 250), 1, 0.8)
    after = overlay.draw(before, segmentation(low, high))
    alone = overlay.draw(before, segmentation(high))
    np.testing.assert_array_equal(after[235, 160:240], alone[235, 160:240])


def test_the_label_has_the_colour_of_its_word_and_legible_letters() -> None:
    before = photo()
    for class_index in range(20):
        after = overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250), class_index)))
        colour = colour_of(class_index)
        rows, columns = np.nonzero(plate(after, class_index))
        assert len(rows) > 100
        label = after[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].reshape(-1, 3)
        assert max(contrast(tuple(pixel), tuple(colour)) for pixel in np.unique(label, axis=0).tolist()) > 3


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
    assert plate(after, 0).sum() == pytest.approx(plate(middle, 0).sum(), rel=0.15)


def test_labels_cover_neither_each_other_nor_small_objects() -> None:
    before = photo()
    near = [instance(rectangle(180 + 14 * i, 140, 190 + 14 * i, 150), i, 0.9 - i / 10) for i in range(4)]
    after = overlay.draw(before, segmentation(*near))
    for one in near:
        alone = overlay.draw(before, segmentation(one))
        assert plate(after, one.class_index).sum() >= 0.9 * plate(alone, one.class_index).sum()
        assert not plate(after, one.class_index)[140:150, 180:232].any()


def test_a_line_leads_from_a_label_to_its_small_object() -> None:
    before = np.full((*SIZE, 3), 100, dtype=np.uint8)
    after = overlay.draw(before, segmentation(instance(rectangle(195, 145, 205, 155))))
    rows, _ = np.nonzero(plate(after, 0))
    assert rows.max() < 145
    assert (after[rows.max() + 1 : 145, 200] == colour_of(0)).all()


def test_a_label_belongs_to_a_pixel_of_its_mask_even_if_its_point_does_not() -> None:
    before = photo()
    ring = rectangle(150, 100, 250, 200) & ~rectangle(160, 110, 240, 190)
    after = overlay.draw(before, segmentation(instance(ring, points=((199, 118, 1),))))
    moved = overlay.draw(before, segmentation(instance(ring, points=((199, 109, 1),))))
    np.testing.assert_array_equal(plate(after, 0), plate(moved, 0))


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
    plates = [plate(picture, 0).sum() for picture in pictures]
    assert plates[1] > 3 * plates[0]


@pytest.mark.parametrize("word", ["café", "naïve Straße", "木", "two\nlines", "😀", ""])
@pytest.mark.filterwarnings("ignore:no font on this system:wordmask.errors.WordmaskWarning")
def test_any_word_can_be_drawn(word: str) -> None:
    after = overlay.draw(photo(), segmentation(instance(rectangle(100, 100, 300, 250), word=word)))
    assert after.shape == photo().shape
    assert plate(after, 0).sum() > 100


def test_the_photo_itself_is_not_drawn_on_and_an_empty_result_leaves_it_as_it_is() -> None:
    before = photo()
    kept = before.copy()
    overlay.draw(before, segmentation(instance(rectangle(100, 100, 300, 250))))
    np.testing.assert_array_equal(before, kept)
    np.testing.assert_array_equal(overlay.draw(before, segmentation()), kept)


def test_a_photo_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the result belongs to"):
        overlay.draw(photo((30, 40)), segmentation())
