"""The run-length code against pycocotools, and what it does with damaged strings."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.rle import RLE


def edge_masks() -> dict[str, BoolMask]:
    corner = np.zeros((7, 5), dtype=bool)
    corner[-1, -1] = True
    stripes = np.zeros((6, 9), dtype=bool)
    stripes[:, 2:5] = True
    frame = np.ones((8, 6), dtype=bool)
    frame[1:-1, 1:-1] = False
    return {
        "empty": np.zeros((4, 6), dtype=bool),
        "full": np.ones((4, 6), dtype=bool),
        "one pixel, off": np.zeros((1, 1), dtype=bool),
        "one pixel, on": np.ones((1, 1), dtype=bool),
        "single column": np.array([[1], [1], [0], [1]], dtype=bool),
        "single row": np.array([[1, 1, 0, 1, 0]], dtype=bool),
        "first pixel": np.eye(1, 12, dtype=bool).reshape(3, 4),
        "last pixel": corner,
        "columns from top to bottom": stripes,
        "frame": frame,
        "checkerboard": np.indices((9, 8)).sum(axis=0) % 2 == 0,
        "long runs": np.arange(400 * 300).reshape(400, 300) > 61234,
    }


def random_masks() -> list[BoolMask]:
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(150):
        shape = rng.integers(1, 40, 2)
        coarse = rng.random(-(-shape // 5)) < rng.random()
        mask = np.kron(coarse, np.ones((5, 5))).astype(bool)[: shape[0], : shape[1]]
        masks.append(mask ^ (rng.random(shape) < 0.05 * rng.integers(0, 2)))
    return masks


ALL_MASKS = [*edge_masks().values(), *random_masks()]


def test_the_code_is_that_of_pycocotools_byte_for_byte() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    for mask in ALL_MASKS:
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        code = rle.encode(mask)
        assert code.counts == expected["counts"].decode()
        assert list(code.size) == expected["size"]


@pytest.mark.parametrize(
    ("name", "counts"),
    [("empty", "h0"), ("full", "0h0"), ("single column", "021O"), ("columns from top to bottom", "<b0h0")],
)
def test_the_code_of_small_masks_is_known(name: str, counts: str) -> None:
    assert rle.encode(edge_masks()[name]).counts == counts


def test_decoding_gives_the_mask_back() -> None:
    for mask in ALL_MASKS:
        code = rle.encode(mask)
        decoded = rle.decode(code)
        np.testing.assert_array_equal(decoded, mask)
        assert decoded.dtype == np.bool_
        assert rle.area(code) == mask.sum()


def test_a_box_is_encoded_as_if_it_stood_in_the_whole_photo() -> None:
    rng = np.random.default_rng(1)
    for mask in random_masks():
        height, width = mask.shape
        # Boxes that touch some of the photo's borders, or all of them, so that runs join across columns.
        size = (height + int(rng.integers(0, 4)), width + int(rng.integers(0, 4)))
        y0, x0 = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(size, mask.shape, strict=True))
        photo = np.zeros(size, dtype=bool)
        photo[y0 : y0 + height, x0 : x0 + width] = mask
        assert rle.encode_box(mask, x0, y0, size) == rle.encode(photo)


def test_encoding_a_box_needs_no_memory_for_the_photo() -> None:
    tracemalloc.start()
    code = rle.encode_box(np.ones((10, 10), dtype=bool), 5000, 5000, (50_000, 50_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rle.area(code) == 100
    assert peak < 1e6


def test_a_box_of_an_encoded_mask_is_the_same_part_of_the_decoded_one() -> None:
    rng = np.random.default_rng(2)
    for mask in random_masks():
        x0, x1 = np.sort(rng.integers(0, mask.shape[1] + 1, 2)).tolist()
        y0, y1 = np.sort(rng.integers(0, mask.shape[0] + 1, 2)).tolist()
        np.testing.assert_array_equal(rle.decode_box(rle.encode(mask), (x0, y0, x1, y1)), mask[y0:y1, x0:x1])


@pytest.mark.parametrize("box", [(-1, 0, 2, 2), (0, 0, 7, 2), (0, 0, 2, 5), (3, 0, 2, 2)])
def test_a_box_outside_the_mask_is_refused(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="does not lie inside"):
        rle.decode_box(RLE((4, 6), "h0"), box)


def test_a_box_that_does_not_fit_the_photo_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        rle.encode_box(np.ones((3, 3), dtype=bool), 2, 0, (4, 4))


@pytest.mark.parametrize(
    ("size", "counts", "reason"),
    [
        ((4, 6), "", "empty"),
        ((4, 6), "h", "cut short"),
        ((4, 6), "h0 ", "character"),
        ((4, 6), "hé", "character"),
        ((4, 6), "\ud800", "character"),
        ((4, 6), "p0", "character"),
        ((4, 6), "7", "cover 7 pixels"),
        ((4, 6), "h0h0", "cover 48 pixels"),
        ((4, 6), "O", "negative"),
        ((4, 6), "2222I", "negative"),
        ((4, 6), "o" * 8 + "0", "number of 9 characters"),
        ((4, 6), "oooooo?" * 3, "run of"),
        ((-4, -6), "h0", "sides"),
        ((200_000, 200_000), "0", "at most"),
    ],
)
def test_a_malformed_code_is_refused_with_the_reason(size: tuple[int, int], counts: str, reason: str) -> None:
    for read in (rle.decode, rle.area):
        with pytest.raises(ValueError, match=reason):
            read(RLE(size, counts))


def test_random_strings_are_decoded_or_refused_and_never_take_much_memory() -> None:
    rng = np.random.default_rng(3)
    tracemalloc.start()
    for _ in range(2000):
        counts = "".join(chr(code) for code in rng.integers(48, 112, rng.integers(1, 30)))
        try:
            mask = rle.decode(RLE((30, 30), counts))
        except ValueError:
            continue
        assert mask.shape == (30, 30)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
