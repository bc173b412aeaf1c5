"""Good photos of every kind, in every shape and under any name; several images in a file; arrays in a file's place."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photos import JPEG_VARIANTS, encoded, photo, refused
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.reading import check_rgb, decode, load

SHARED = Path(__file__).parents[4] / "shared" / "images"


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_kinds_give_the_exact_pixels(write: Callable[..., Path], kind: str) -> None:
    pixels = photo()
    options = {"lossless": True} if kind == "WEBP" else {}
    result = decode(write(encoded(pixels, kind, **options)))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, pixels)


@pytest.mark.parametrize("options", JPEG_VARIANTS)
@pytest.mark.parametrize("size", [(90, 120), (1, 1), (8, 8), (17, 33), (64, 16)])
def test_every_kind_of_jpeg_passes_the_damage_check(
    write: Callable[..., Path], options: dict[str, object], size: tuple[int, int]
) -> None:
    data = encoded(photo(*size), "JPEG", **options)
    np.testing.assert_array_equal(decode(write(data)), np.asarray(Image.open(io.BytesIO(data))))


@pytest.mark.parametrize("options", JPEG_VARIANTS[:-1])
@pytest.mark.parametrize("level", [0, 127, 128, 255])
def test_flat_grey_jpeg_passes_the_damage_check(
    write: Callable[..., Path], options: dict[str, object], level: int
) -> None:
    pixels = np.full((50, 70), level, np.uint8)
    assert np.ptp(decode(write(encoded(pixels, "JPEG", **options)))) == 0


def test_jpeg_of_three_separate_scans_is_read(write: Callable[..., Path]) -> None:
    planes = [encoded(photo()[..., channel].copy(), "JPEG", quality=100) for channel in range(3)]
    layouts = [read_layout(plane) for plane in planes]
    frame = layouts[0].frame
    data = planes[0]
    header = data[:2]
    sof = data[frame.start : frame.start + 2] + struct.pack(">HBHHB", 17, 8, frame.height, frame.width, 3)
    sof += b"".join(bytes([component, 0x11, 0]) for component in (82, 71, 66))  # "R", "G", "B": libjpeg takes it as RGB
    tables = b"".join(data[start:end] for start, end in layouts[0].tables if data[start + 1] in (0xC4, 0xDB))
    scans = b""
    for component, plane, layout in zip((82, 71, 66), planes, layouts, strict=True):
        sos = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, component, 0, 0, 63, 0)
        scans += sos + plane[layout.scans[0].start : layout.scans[0].end]
    joined = header + sof + tables + scans + b"\xff\xd9"
    expected = np.stack([np.asarray(Image.open(io.BytesIO(plane))) for plane in planes], axis=-1)
    np.testing.assert_array_equal(decode(write(joined)), expected)


@pytest.mark.skipif(not SHARED.exists(), reason="the real photos are not beside this checkout")
def test_real_photos_are_decoded_as_by_pillow() -> None:
    paths = sorted(SHARED.rglob("*.jpg"))
    assert paths
    for path in paths:
        with Image.open(path) as image:
            np.testing.assert_array_equal(decode(path), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("size", [(1, 1), (1, 320), (320, 1), (16, 20000), (20000, 16)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_extreme_shapes_are_read(write: Callable[..., Path], size: tuple[int, int], kind: str) -> None:
    assert decode(write(encoded(np.zeros((*size, 3), np.uint8), kind))).shape == (*size, 3)


def test_png_named_jpg_is_read_by_its_content(write: Callable[..., Path]) -> None:
    np.testing.assert_array_equal(decode(write(encoded(photo(), "PNG"), "wrong.jpg")), photo())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("garbage", [b"\0" * 100, b"\xff\xd9\xff\xd8\xff\xe0 more", b"\n"])
def test_bytes_after_the_image_are_ignored(write: Callable[..., Path], kind: str, garbage: bytes) -> None:
    data = encoded(photo(), kind)
    np.testing.assert_array_equal(decode(write(data + garbage)), decode(write(data, "clean")))


def test_second_jpeg_behind_the_first_is_ignored(write: Callable[..., Path]) -> None:
    frames = [Image.fromarray(photo()), Image.fromarray(255 - photo())]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(write(data)), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


@pytest.mark.parametrize("name", ["наїв 日本 😀.jpg", "new\nline.jpg", "x" * 251 + ".jpg"])
def test_odd_names_are_read_and_escaped_in_errors(write: Callable[..., Path], name: str) -> None:
    assert decode(write(encoded(photo(), "JPEG"), name)).shape == (90, 120, 3)
    assert "\n" not in str(refused(write(b"", name)))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_of_several_images_is_taken_and_noted(write: Callable[..., Path], kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    result = load(write(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)))
    assert np.unique(result.pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert result.notes == ("only the first of several images is used",)
    assert load(write(encoded(frames[0], kind))).notes == ()


def test_good_array_is_returned_as_it_is() -> None:
    pixels = photo()
    assert check_rgb(pixels) is pixels
    turned = check_rgb(pixels[:, ::-1])
    assert turned.flags.c_contiguous
    np.testing.assert_array_equal(turned, pixels[:, ::-1])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[1, 2, 3]], "is a list"),
        (Image.new("RGB", (2, 2)), r"convert\('RGB'\)"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\).*grey"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\).*alpha"),
        (np.zeros((3, 4, 5), np.uint8), "channels first"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"shape \(1, 4, 4, 3\)"),
        (np.zeros((4, 4, 3), np.float32), r"float32.*\* 255"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
    ],
)
def test_bad_array_is_refused_with_advice(array: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_rgb(array)
