"""Photos as Python code has them at hand: the same pixels from a path, a file object, bytes, an image or an array."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from wordmask.errors import PhotoError
from wordmask.photo.sources import read_source, sources_of

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    Image.fromarray(PIXELS).save(file)
    return file


def test_every_origin_of_a_photo_gives_the_same_pixels(path: Path) -> None:
    data = path.read_bytes()
    with path.open("rb") as file, Image.open(path) as lazy:
        origins = (
            path,
            str(path),
            file,
            data,
            bytearray(data),
            io.BytesIO(data),
            lazy,
            Image.fromarray(PIXELS),
            PIXELS,
        )
        for origin in origins:
            np.testing.assert_array_equal(read_source(origin).pixels, PIXELS)


def test_bgr_turns_the_colours_of_arrays_and_of_nothing_else(path: Path) -> None:
    np.testing.assert_array_equal(read_source(PIXELS[..., ::-1], bgr=True).pixels, PIXELS)
    np.testing.assert_array_equal(read_source(path, bgr=True).pixels, PIXELS)
    np.testing.assert_array_equal(read_source(PIXELS[..., 0], bgr=True).pixels, read_source(PIXELS[..., 0]).pixels)
    bgra = np.dstack([PIXELS[..., ::-1], np.full((6, 8), 255, np.uint8)])
    np.testing.assert_array_equal(read_source(bgra, bgr=True).pixels, PIXELS)


@pytest.mark.parametrize("grey", [PIXELS[..., 0], PIXELS[..., :1]])
def test_grey_becomes_three_equal_channels(grey: np.ndarray) -> None:
    np.testing.assert_array_equal(read_source(grey).pixels, np.stack([PIXELS[..., 0]] * 3, axis=-1))


def test_transparency_of_arrays_and_images_is_laid_over_white() -> None:
    alpha = np.full((6, 8), 255, np.uint8)
    alpha[:, :4] = 0
    rgba = np.dstack([PIXELS, alpha])
    expected = PIXELS.copy()
    expected[:, :4] = 255
    for origin in (rgba, Image.fromarray(rgba)):
        np.testing.assert_array_equal(read_source(origin).pixels, expected)


def test_an_image_is_turned_as_it_is_displayed(tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(turned, exif=exif, quality=100)
    with Image.open(turned) as image:
        assert image.size == (8, 6)
        assert read_source(image).pixels.shape == (8, 6, 3)
        np.testing.assert_array_equal(read_source(image).pixels, np.rot90(np.asarray(image), -1))
    np.testing.assert_array_equal(read_source(turned).pixels.shape, (8, 6, 3))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "CMYK", "HSV"])
def test_images_of_other_modes_become_rgb(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    np.testing.assert_array_equal(read_source(image).pixels, np.asarray(image.convert("RGB")))


def test_an_image_of_16_bits_is_scaled() -> None:
    deep = Image.fromarray(np.array([[0, 32768, 65535]], np.uint16))
    assert read_source(deep).pixels[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("origin", "code"),
    [(b"", "EMPTY"), (b"no photo at all", "FORMAT"), (Image.fromarray(np.zeros((2, 2), np.float32)), "DEPTH")],
)
def test_what_cannot_be_used_has_a_code(origin: object, code: str) -> None:
    with pytest.raises(PhotoError) as caught:
        read_source(origin)
    assert caught.value.code == code


def test_a_cut_image_that_was_not_loaded_yet_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])
    with Image.open(path) as image, pytest.raises(PhotoError, match=r"photo\.png.*cannot be decoded"):
        read_source(image)


def test_a_photo_of_another_type_is_refused_with_what_is_taken(path: Path) -> None:
    with pytest.raises(TypeError, match="of the type int, expected a path, a file object"):
        read_source(3)
    with pytest.raises(TypeError, match=r"the photo is None: cv2\.imread gives that for a file it cannot read"):
        read_source(cv2.imread(str(path.parent / "none.png")))
    with path.open(encoding="latin-1") as text, pytest.raises(TypeError, match="binary mode, 'rb'"):
        read_source(text)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 4), np.float32), r"float32.*\* 255"),
        (np.zeros((4, 4, 4), np.float32), r"shape \(4, 4, 4\)"),
        (np.zeros((3, 4, 5), np.uint8), "channels first"),
        (np.zeros((0, 4), np.uint8), "at least one pixel"),
    ],
)
def test_a_bad_array_is_refused_with_advice(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_source(array)


def test_a_folder_is_its_photos_in_name_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    assert list(sources_of(tmp_path)) == [tmp_path / "a.JPG", tmp_path / "b.png"]
    assert list(sources_of(str(tmp_path / "b.png"))) == [tmp_path / "b.png"]


def test_a_single_photo_is_one_and_a_stack_of_arrays_several(path: Path) -> None:
    with path.open("rb") as file, Image.open(path) as image:
        for single in (path.read_bytes(), PIXELS, PIXELS[..., 0], file, image):
            assert list(sources_of(single)) == [single]
    assert len(list(sources_of(np.stack([PIXELS, PIXELS])))) == 2


def test_a_folder_that_is_missing_or_without_photos_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist"):
        sources_of(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no photos in"):
        sources_of(tmp_path)
    with pytest.raises(TypeError, match="of the type int"):
        sources_of(3)
