"""The extra `fast` changes no result: the same pixels, codes of damage and run-length codes with it and without."""

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
from PIL import Image

from photos import JPEG_VARIANTS, encoded, exif, photo
from wordmask import rle
from wordmask.errors import PhotoError
from wordmask.photo import jpeg_fast, reading
from wordmask.photo.jpeg_markers import read_layout

SIZES = ((90, 120), (1, 1), (17, 3), (37, 53), (1, 65))


def outcome(path, *, lenient=False):
    try:
        found = reading.load(path, lenient=lenient)
    except PhotoError as error:
        return error.code, str(error), b""
    return found.notes, found.pixels.shape, found.pixels.tobytes()


@pytest.fixture
def alike(monkeypatch):
    """Whether a photo gives the same with simplejpeg and without."""
    fast = pytest.importorskip("simplejpeg")

    def compare(path, **options) -> bool:
        monkeypatch.setattr(jpeg_fast, "simplejpeg", fast)
        with_it = outcome(path, **options)
        monkeypatch.setattr(jpeg_fast, "simplejpeg", None)
        return with_it == outcome(path, **options)

    return compare


@pytest.mark.parametrize("options", [*JPEG_VARIANTS, {"quality": 30, "subsampling": 2}, {"subsampling": 1}])
def test_whole_jpegs_have_the_same_pixels(options, write, alike):
    for size in SIZES:
        for mode in ("RGB", "L", "CMYK"):
            settings = {name: value for name, value in options.items() if mode == "RGB" or name != "keep_rgb"}
            picture = Image.fromarray(photo(*size)).convert(mode)
            assert alike(write(encoded(picture, "JPEG", **settings))), (size, mode)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_jpegs_have_the_same_pixels(orientation, write, alike):
    assert alike(write(encoded(photo(20, 33), "JPEG", exif=exif(orientation))))


def test_real_photos_have_the_same_pixels(examples, alike):
    for path in sorted(examples.glob("*.jpg")):
        assert alike(path), path.name


def test_large_real_photos_have_the_same_pixels(shared_photos, alike):
    for path in sorted(shared_photos.glob("*.jpg")):
        assert alike(path), path.name


def damaged(data: bytes, source: random.Random) -> bytes:
    """Bytes of the coded data changed, lost or added; another height; a changed header."""
    layout = read_layout(data)
    place = source.randrange(layout.scans[0].start + 1, layout.end - 70)
    height = (layout.frame.height + source.choice((-16, -8, 8, 16))).to_bytes(2, "big")
    header = source.randrange(2, layout.scans[0].start)
    return source.choice(
        (
            data[:place] + source.randbytes(64) + data[place + 64 :],
            data[:place] + bytes([data[place] ^ 16]) + data[place + 1 :],
            data[:place] + data[place + source.randrange(1, 30) :],
            data[:place] + source.randbytes(9) + data[place:],
            data[:place].rstrip(b"\xff") + b"\xff\xd9",
            data[:place],
            data[: layout.frame.start + 5] + height + data[layout.frame.start + 7 :],
            data[:header] + bytes([data[header] ^ 4]) + data[header + 1 :],
        )
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("options", JPEG_VARIANTS)
def test_damaged_jpegs_have_the_same_codes_and_what_is_taken_the_same_pixels(options, write, alike):
    source = random.Random(4)
    data = encoded(photo(), "JPEG", **options)
    for i in range(80):
        assert alike(write(damaged(data, source)), lenient=i % 4 == 0), i


def test_simplejpeg_decodes_what_is_whole_and_leaves_the_rest(write, monkeypatch):
    pytest.importorskip("simplejpeg")

    def refuse(*arguments):
        raise AssertionError("left to Pillow")

    monkeypatch.setattr(reading, "decode_jpeg", refuse)
    for options in JPEG_VARIANTS:
        data = encoded(photo(), "JPEG", **options)
        assert reading.load(write(data)).pixels.shape == (90, 120, 3)
        with pytest.raises(PhotoError, match="left to Pillow"):
            reading.load(write(data[: len(data) // 2]))


@pytest.mark.parametrize("shape", [(60, 80), (1, 1), (1, 50), (50, 1), (300, 200)])
def test_run_length_codes_and_masks_are_the_same(shape, monkeypatch):
    pytest.importorskip("rlemasklib")
    rng = np.random.default_rng(6)
    field = cv2.resize(rng.normal(size=(12, 12)).astype(np.float32), shape[::-1])
    size = (shape[0] + 9, shape[1] + 4)
    for mask in (field > 0, rng.random(shape) < 0.5, np.zeros(shape, bool), np.ones(shape, bool), (field > 0)[::-1]):
        quick = rle.encode_box(mask, 3, 5, size)
        boxes = [(0, 0, size[1], size[0]), (3, 5, 3 + shape[1], 5 + shape[0]), (1, 2, 1, 7)]
        cut_out = [rle.decode_box(quick, box) for box in boxes]
        with monkeypatch.context() as without:
            without.setattr(rle, "RLEMask", None)
            assert quick == rle.encode_box(mask, 3, 5, size)
            for box, found in zip(boxes, cut_out, strict=True):
                expected = rle.decode_box(quick, box)
                np.testing.assert_array_equal(found, expected)
                assert (found.dtype, found.flags.c_contiguous) == (bool, True)
