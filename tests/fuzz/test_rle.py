"""The run-length code: equal to pycocotools' for every mask; any string is decoded, or refused with a ValueError."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fuzzing import fuzz
from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.rle import RLE

coco = pytest.importorskip("pycocotools.mask")

noise = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40))


@st.composite
def blobs(draw: st.DrawFn) -> BoolMask:
    """Overlapping rectangles: long runs, also such as reach the border."""
    height, width = draw(st.integers(1, 300)), draw(st.integers(1, 300))
    mask = np.zeros((height, width), bool)
    for _ in range(draw(st.integers(0, 4))):
        y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
        mask[y : y + draw(st.integers(1, height)), x : x + draw(st.integers(1, width))] ^= True
    return mask


@fuzz(noise | blobs(), examples=150)
def test_a_mask_has_pycocotools_code_and_comes_back(mask: BoolMask, folder: Path) -> None:
    code = rle.encode(mask)
    np.testing.assert_array_equal(rle.decode(code), mask)
    assert rle.area(code) == mask.sum()
    if mask.size:  # pycocotools takes no mask without pixels
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert (code.counts, list(code.size)) == (expected["counts"].decode(), expected["size"])


@fuzz(st.tuples(blobs(), *[st.floats(0, 1)] * 4), examples=80)
def test_a_part_is_encoded_and_decoded_as_in_the_whole(case: tuple[BoolMask, *tuple[float, ...]], folder: Path) -> None:
    mask, *shares = case
    height, width = mask.shape
    x0, x1 = sorted(round(share * width) for share in shares[:2])
    y0, y1 = sorted(round(share * height) for share in shares[2:])
    np.testing.assert_array_equal(rle.decode_box(rle.encode(mask), (x0, y0, x1, y1)), mask[y0:y1, x0:x1])
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    assert rle.encode_box(mask[y0:y1, x0:x1], x0, y0, mask.shape) == rle.encode(inside)


codes = st.text(st.characters(min_codepoint=48, max_codepoint=111)) | st.text(st.characters(exclude_categories=()))
sizes = st.tuples(st.integers(-2, 50), st.integers(-2, 50)) | st.tuples(st.integers(), st.integers())


@st.composite
def fitting(draw: st.DrawFn) -> RLE:
    """The code of a mask with a character or two exchanged, in its own size."""
    mask = draw(noise)
    counts = list(rle.encode(mask).counts)
    for _ in range(draw(st.integers(0, 2))):
        counts[draw(st.integers(0, len(counts) - 1))] = chr(draw(st.integers(48, 111)))
    return RLE((mask.shape[0], mask.shape[1]), "".join(counts))


@fuzz(st.builds(RLE, sizes, codes) | fitting(), examples=200)
def test_a_code_is_decoded_or_refused(code: RLE, folder: Path) -> None:
    try:
        area = rle.area(code)
    except ValueError as error:
        assert str(error).isprintable()
        with pytest.raises(ValueError, match=r"."):
            rle.decode(code)
        return
    if code.size[0] * code.size[1] > 1 << 20:
        return  # well formed, but as a mask too much for a test
    mask = rle.decode(code)
    assert mask.shape == code.size
    assert mask.sum() == area
    if mask.size:
        np.testing.assert_array_equal(coco.decode({"size": list(code.size), "counts": code.counts.encode()}), mask)
