"""Grey, palette, CMYK, transparent and deep photos become RGB of 8 bits, or are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from photos import encoded, photo, png, refused
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.reading import decode


def test_cmyk_becomes_rgb(write: Callable[..., Path]) -> None:
    data = encoded(Image.new("CMYK", (20, 10), (0, 255, 255, 0)), "JPEG", quality=95)
    assert np.abs(decode(write(data)).astype(int) - [255, 0, 0]).max() <= 3  # JPEG's own loss


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_grey_becomes_three_equal_channels(write: Callable[..., Path], kind: str) -> None:
    grey = photo()[..., 0]
    result = decode(write(encoded(grey, kind, **({"quality": 100} if kind == "JPEG" else {}))))
    np.testing.assert_array_equal(result[..., 0], result[..., 2])
    assert np.abs(result[..., 1].astype(int) - grey).max() <= (3 if kind == "JPEG" else 0)


def test_one_bit_image_becomes_black_and_white(write: Callable[..., Path]) -> None:
    bits = Image.fromarray(photo()[..., 0] > 128)
    assert bits.mode == "1"
    np.testing.assert_array_equal(decode(write(encoded(bits, "PNG")))[..., 0], (photo()[..., 0] > 128) * 255)


def test_palette_is_looked_up(write: Callable[..., Path]) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    assert decode(write(encoded(palette, "PNG"))).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparency_is_laid_over_white(write: Callable[..., Path]) -> None:
    rgba = np.array([[[200, 0, 100, 0], [200, 0, 100, 255], [200, 0, 100, 51]]], np.uint8)
    # 51 of 255 is a fifth: 0.2 * (200, 0, 100) + 0.8 * 255
    expected = [[[255, 255, 255], [200, 0, 100], [244, 204, 224]]]
    assert decode(write(encoded(rgba, "PNG"))).tolist() == expected
    grey = np.array([[[200, 0], [200, 255], [200, 51]]], np.uint8)
    assert decode(write(encoded(Image.fromarray(grey), "PNG")))[..., 0].tolist() == [[255, 200, 244]]


def test_transparent_palette_and_colour_key_are_laid_over_white(write: Callable[..., Path]) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    for kind in ("PNG", "GIF"):
        assert decode(write(encoded(palette, kind, transparency=0))).tolist() == [[[255] * 3, [200, 100, 50]]]
    keyed = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert decode(write(encoded(keyed, "PNG", transparency=(1, 2, 3)))).tolist() == [[[255] * 3, [4, 5, 6]]]


@pytest.mark.parametrize("extension", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_scaled_to_8(write: Callable[..., Path], extension: str, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (9, 7, channels), dtype=np.uint16)
    ok, data = cv2.imencode(".pgm" if (extension, channels) == (".ppm", 1) else extension, deep)
    assert ok
    expected = np.round(deep[..., ::-1] / 257.0)
    result = decode(write(data.tobytes()))
    # Pillow scales a PPM itself and rounds half values differently.
    assert np.abs(result - np.broadcast_to(expected, (9, 7, 3))).max() <= (1 if extension == ".ppm" else 0)


def test_16_bit_alpha_is_laid_over_white(write: Callable[..., Path]) -> None:
    for colour, sample in ((6, (51400, 0, 25700)), (4, (51400,))):
        rows = (
            b"\0"
            + struct.pack(f">{len(sample) + 1}H", *sample, 13107)
            + struct.pack(f">{len(sample) + 1}H", *sample, 0)
        )
        result = decode(write(png(2, 1, 16, colour, rows)))[0].tolist()
        assert result == [[244, 204, 224] if colour == 6 else [244] * 3, [255] * 3]


@pytest.mark.parametrize("extension", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_12_bit_data_in_16_bits_are_refused_and_never_dark(
    write: Callable[..., Path], extension: str, channels: int
) -> None:
    deep = np.full((9, 7, channels), 4095, np.uint16)
    deep[..., 3:] = 65535
    ok, data = cv2.imencode(extension, deep)
    assert ok
    error = refused(write(data.tobytes()))
    assert error.code == "DEPTH"
    assert "none is above 4095" in str(error)


def test_black_16_bit_photo_is_black(write: Callable[..., Path]) -> None:
    assert decode(write(png(2, 1, 16, 0, bytes(5)))).max() == 0


def test_stated_maximum_scales_16_bits(write: Callable[..., Path]) -> None:
    grey = b"P5 3 1 4095\n" + struct.pack(">3H", 0, 2048, 4095)
    assert decode(write(grey))[0, :, 0].tolist() == [0, 128, 255]
    colour = b"P6 1 1 4095\n" + struct.pack(">3H", 4095, 2048, 0)
    result = decode(write(colour))[0, 0].astype(int)
    assert np.abs(result - [255, 128, 0]).max() <= 1
    deep = Image.fromarray(np.array([[0, 2048, 4095]], np.uint16))
    tiff = encoded(deep, "TIFF", tiffinfo={281: 4095})
    assert decode(write(tiff))[0, :, 1].tolist() == [0, 128, 255]


def test_white_is_zero_in_a_16_bit_tiff_is_inverted(write: Callable[..., Path]) -> None:
    deep = Image.fromarray(np.array([[0, 65535]], np.uint16))
    data = bytearray(encoded(deep, "TIFF"))
    entry = data.index(struct.pack("<HHI", 262, 3, 1))
    data[entry + 8 : entry + 10] = b"\0\0"
    assert decode(write(bytes(data)))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_float_and_32_bit_tiff_are_refused(write: Callable[..., Path], dtype: type) -> None:
    assert refused(write(encoded(Image.fromarray(np.ones((4, 4), dtype)), "TIFF"))).code == "DEPTH"


def test_12_bit_jpeg_is_refused(write: Callable[..., Path]) -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    data[read_layout(bytes(data)).frame.start + 4] = 12
    assert refused(write(bytes(data))).code == "DEPTH"
