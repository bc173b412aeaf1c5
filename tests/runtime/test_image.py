"""Decoding of good, odd and broken photos, all made here; see the fault table's rows on photos."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFile, features

from wordmask import image as module
from wordmask.errors import PhotoError
from wordmask.image import IMAGE_SUFFIXES, check_rgb, decode, load
from wordmask.image_jpeg_layout import read_layout

SHARED = Path(__file__).parents[3] / "shared" / "images"
Pixels = NDArray[np.uint8]


def photo(height: int = 90, width: int = 120) -> Pixels:
    """Smooth colours with some seeded grain, so that files have the usual mixture of codes."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    waves = np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 13)], axis=-1)
    grain = np.random.default_rng(3).normal(0, 12, waves.shape)
    return np.clip(128 + 90 * waves + grain, 0, 255).astype(np.uint8)


def encoded(pixels: Pixels | Image.Image, kind: str, **options: object) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG whose rows each begin with the filter byte."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write_file(data: bytes, name: str = "photo.jpg") -> Path:
        path = tmp_path / name
        path.write_bytes(data)
        return path

    return write_file


def refused(path: Path, **options: object) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        decode(path, **options)
    assert repr(str(path)) in str(caught.value)
    return caught.value


# Good photos


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
def test_lossless_kinds_give_the_exact_pixels(write: Callable[..., Path], kind: str) -> None:
    pixels = photo()
    options = {"lossless": True} if kind == "WEBP" else {}
    result = decode(write(encoded(pixels, kind, **options)))
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, pixels)


JPEG_VARIANTS: list[dict[str, object]] = [
    {},
    {"quality": 100, "subsampling": 0},
    {"optimize": True},
    {"restart_marker_rows": 1},
    {"restart_marker_blocks": 5},
    {"progressive": True},
    {"progressive": True, "restart_marker_rows": 1},
    {"keep_rgb": True},
]


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


# Orientation


def oriented(stored: Pixels, orientation: int) -> Pixels:
    """EXIF 2.32: where row 0 and column 0 of the stored image are displayed."""
    flips = {2: stored[:, ::-1], 3: stored[::-1, ::-1], 4: stored[::-1]}
    turned = stored.transpose(1, 0, 2)
    flips |= {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}
    return flips.get(orientation, stored)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(write: Callable[..., Path], kind: str, orientation: int) -> None:
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(photo(), kind, exif=exif(orientation), **options)
    np.testing.assert_array_equal(decode(write(data)), oriented(photo(), orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg_is_applied(write: Callable[..., Path], orientation: int) -> None:
    stored = decode(write(encoded(photo(), "JPEG")))
    result = decode(write(encoded(photo(), "JPEG", exif=exif(orientation))))
    np.testing.assert_array_equal(result, oriented(stored, orientation))
    assert result.flags.c_contiguous


@pytest.mark.parametrize("orientation", [6, 7])
def test_orientation_of_a_16_bit_tiff_is_applied_once(write: Callable[..., Path], orientation: int) -> None:
    deep = photo().astype(np.uint16) * 257
    ok, data = cv2.imencode(".tiff", deep[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 1])
    assert ok
    tagged = bytearray(data.tobytes())
    directory = int.from_bytes(tagged[4:8], "little")
    count = int.from_bytes(tagged[directory : directory + 2], "little")
    entries = [bytes(tagged[start : start + 12]) for start in range(directory + 2, directory + 2 + 12 * count, 12)]
    entries = [entry for entry in entries if entry[:2] != struct.pack("<H", 274)]
    entries = sorted([*entries, struct.pack("<HHIHH", 274, 3, 1, orientation, 0)], key=lambda entry: entry[1::-1])
    tagged[4:8] = struct.pack("<I", len(tagged))
    tagged += struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    np.testing.assert_array_equal(decode(write(bytes(tagged))), oriented(photo(), orientation))


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_invalid_orientation_is_ignored(write: Callable[..., Path], orientation: int) -> None:
    np.testing.assert_array_equal(decode(write(encoded(photo(), "PNG", exif=exif(orientation)))), photo())


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_exif_is_ignored(write: Callable[..., Path]) -> None:
    broken = encoded(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert decode(write(broken)).shape == (90, 120, 3)


# Colours


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


# Depth


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


# Several images


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_first_of_several_images_is_taken_and_noted(write: Callable[..., Path], kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "blue", "green")]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    result = load(write(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)))
    assert np.unique(result.pixels.reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]
    assert result.notes == ("only the first of several images is used",)
    assert load(write(encoded(frames[0], kind))).notes == ()


# Not a photo


def test_empty_file_is_refused(write: Callable[..., Path]) -> None:
    assert refused(write(b"")).code == "EMPTY"


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"hello", "hello"),
        (b"\0" * 5000, "no known image"),
        (b"\xff\xd8", "no known image"),
    ],
)
def test_file_that_is_no_image_is_refused_with_what_it_is(write: Callable[..., Path], data: bytes, hint: str) -> None:
    error = refused(write(data))
    assert error.code == "FORMAT"
    assert hint in str(error)


def ftyp(*brands: bytes) -> bytes:
    return struct.pack(">I", 12 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:]) + bytes(99)


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (ftyp(b"heic", b"mif1"), "heif-convert"),
        (ftyp(b"mif1", b"mif1", b"heix"), "heif-convert"),
        (b"\xff\x0a" + bytes(20), "djxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "djxl"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "render it"),
        (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg/>', "render it"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"II*\0\x10\0\0\0CR\x02\0", "develop"),
        (b"%PDF-1.7", "PDF"),
    ],
)
def test_unsupported_kinds_come_with_a_hint(write: Callable[..., Path], data: bytes, hint: str) -> None:
    error = refused(write(data))
    assert error.code == "UNSUPPORTED"
    assert hint in str(error)


def test_camera_raw_with_a_preview_as_its_first_page_is_refused(write: Callable[..., Path]) -> None:
    assert refused(write(encoded(photo(), "TIFF", tiffinfo={254: 1}))).code == "UNSUPPORTED"


def test_avif_is_read_where_pillow_has_it_and_refused_with_a_hint_elsewhere(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    if features.check("avif"):
        data = encoded(photo(), "AVIF", quality=100, subsampling="4:4:4")
        assert (
            np.abs(decode(write(data)).astype(int) - photo()).mean() < 2
        )  # lossy even so: colours are rounded in YCbCr
    monkeypatch.setattr(features, "check", lambda name: False)
    error = refused(write(ftyp(b"avif", b"mif1")))
    assert error.code == "UNSUPPORTED"
    assert "Pillow 11.3" in str(error)


# Damage


@pytest.mark.parametrize("options", JPEG_VARIANTS)
@pytest.mark.parametrize("lenient", [False, True])
def test_jpeg_cut_anywhere_in_its_data_is_truncated(
    write: Callable[..., Path], options: dict[str, object], lenient: bool
) -> None:
    data = encoded(photo(), "JPEG", exif=thumbnail_exif(), **options)
    first = read_layout(data).scans[0].start
    for end in [first, (first + len(data)) // 2, *range(len(data) - 24, len(data)), *range(first, len(data), 997)]:
        assert refused(write(data[:end]), lenient=lenient).code == "TRUNCATED", end


def thumbnail_exif() -> bytes:
    """EXIF with a whole JPEG in it, whose end marker is not that of the photo."""
    return b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded(photo(16, 16), "JPEG")


def test_jpeg_cut_where_a_scan_ends_is_truncated(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    for scan in read_layout(data).scans:
        assert refused(write(data[: scan.end])).code == "TRUNCATED"


def test_half_of_a_jpeg_padded_with_zeros_is_truncated(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG")
    assert refused(write(data[: len(data) // 2] + bytes(len(data) // 2))).code == "TRUNCATED"


def test_half_of_a_jpeg_closed_with_an_end_marker_is_corrupt(write: Callable[..., Path]) -> None:
    for options in JPEG_VARIANTS:
        data = encoded(photo(), "JPEG", **options)
        layout = read_layout(data)
        half = (layout.scans[0].start + layout.scans[0].end) // 2
        assert refused(write(data[:half].rstrip(b"\xff") + b"\xff\xd9")).code == "CORRUPT", options


def test_jpeg_cut_in_its_header_cannot_be_decoded(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG")
    for end in [3, 10, *range(20, read_layout(data).scans[0].start, 37)]:
        assert refused(write(data[:end])).code == "DECODE", end


def garbled(data: bytes, source: random.Random) -> bytes:
    """Sixty-four random bytes somewhere in the coded data."""
    layout = read_layout(data)
    start = source.randrange(layout.scans[0].start + 8, layout.end - 200)
    return data[:start] + source.randbytes(64) + data[start + 64 :]


# A JPEG has no checksum: what still decodes to the right number of blocks passes. The shares are seen ones, less some.
@pytest.mark.parametrize(("options", "least"), list(zip(JPEG_VARIANTS, [55, 95, 45, 55, 60, 45, 30, 80], strict=True)))
def test_most_garbled_jpegs_are_corrupt(write: Callable[..., Path], options: dict[str, object], least: int) -> None:
    source = random.Random(2)
    data = encoded(photo(200, 300), "JPEG", **options)
    codes = []
    for _ in range(100):
        try:
            decode(write(garbled(data, source)))
        except PhotoError as error:
            codes.append(error.code)
    assert set(codes) <= {"CORRUPT", "DECODE", "TRUNCATED", "TOO_LARGE"}
    assert codes.count("CORRUPT") >= least


@pytest.mark.parametrize("options", [options for options in JPEG_VARIANTS if len(options) < 2])
def test_missing_and_surplus_blocks_are_corrupt(write: Callable[..., Path], options: dict[str, object]) -> None:
    data = encoded(photo(200, 300), "JPEG", **options)
    frame = read_layout(data).frame
    for height in (frame.height - 48, frame.height + 48):
        changed = bytearray(data)
        changed[frame.start + 5 : frame.start + 7] = struct.pack(">H", height)
        assert refused(write(bytes(changed))).code == "CORRUPT", height


def test_lenient_accepts_a_garbled_jpeg_and_notes_it(write: Callable[..., Path]) -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    layout = read_layout(bytes(data))
    middle = (layout.scans[0].start + layout.scans[0].end) // 2
    data[middle : middle + 64] = bytes(64)
    path = write(bytes(data))
    assert refused(path).code == "CORRUPT"
    result = load(path, lenient=True)
    np.testing.assert_array_equal(result.pixels, np.asarray(Image.open(path)))
    assert result.notes[0].startswith("damaged JPEG accepted: image data are")


def test_progressive_jpeg_without_its_last_scan_is_corrupt(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    scans = read_layout(data).scans
    assert refused(write(data[: scans[-2].end] + b"\xff\xd9")).code == "CORRUPT"


def test_marker_in_the_coded_data_is_corrupt(write: Callable[..., Path]) -> None:
    data = bytearray(encoded(photo(), "JPEG"))
    scan = read_layout(bytes(data)).scans[0]
    data[scan.start + 400 : scan.start + 402] = b"\xff\xc9"
    assert refused(write(bytes(data))).code == "CORRUPT"


def test_lost_restart_marker_is_corrupt(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG", restart_marker_rows=1)
    assert refused(write(data.replace(b"\xff\xd1", b"", 1))).code == "CORRUPT"


def test_padding_before_the_end_marker_is_accepted(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG")
    expected = decode(write(data, "clean"))
    for padding in (b"\xff\xff", b"\0\0\0"):
        np.testing.assert_array_equal(decode(write(data[:-2] + padding + b"\xff\xd9")), expected)


def test_png_with_any_flipped_bit_in_its_pixels_cannot_be_decoded(write: Callable[..., Path]) -> None:
    data = encoded(photo(20, 20), "PNG")
    for position in [17, *range(data.index(b"IDAT"), len(data), 41)]:
        changed = bytearray(data)
        changed[position] ^= 4
        assert refused(write(bytes(changed))).code == "DECODE", position


def test_png_cut_anywhere_cannot_be_decoded(write: Callable[..., Path]) -> None:
    data = encoded(photo(20, 20), "PNG")
    for end in [9, 20, 30, 50, len(data) // 2, len(data) - 12, len(data) - 1]:
        assert refused(write(data[:end])).code == "DECODE", end


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_other_kinds_cut_at_half_cannot_be_decoded(write: Callable[..., Path], kind: str) -> None:
    data = encoded(photo(), kind)
    assert refused(write(data[: len(data) // 2])).code == "DECODE"
    assert refused(write(data[:12])).code == "DECODE"


def test_strictness_survives_a_host_that_loads_truncated_images(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encoded(photo(), "JPEG")
    assert refused(write(data[: len(data) // 2])).code == "TRUNCATED"
    assert refused(write(data[: len(data) // 2].rstrip(b"\xff") + b"\xff\xd9")).code == "CORRUPT"
    data = encoded(photo(), "PNG")
    assert refused(write(data[: len(data) // 2])).code == "DECODE"


# Size


def huge_png(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, b"\0" * 100)


def huge_jpeg(width: int, height: int) -> bytes:
    data = bytearray(encoded(photo(), "JPEG"))
    start = read_layout(bytes(data)).frame.start
    data[start + 5 : start + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def huge_webp(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 100) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size + bytes(90)


def huge_bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0) + bytes(50)


@pytest.mark.parametrize(
    "data",
    [
        huge_png(40000, 40000),
        huge_png(30000, 30000),
        huge_png(2**31 - 1, 2**31 - 1),
        huge_jpeg(65535, 65535),
        huge_webp(2**24, 2**24),
        huge_bmp(2**31 - 1, 2**31 - 1),
        b"P6 2147483647 2147483647 255\n" + bytes(50),
        b"GIF89a" + struct.pack("<HHxxxBHHHHBB", 65535, 65535, 44, 0, 0, 65535, 65535, 0, 8) + bytes(50),
    ],
    ids=["png1600", "png900", "png-max", "jpeg", "webp", "bmp", "ppm", "gif"],
)
def test_huge_image_is_refused_from_its_header(write: Callable[..., Path], data: bytes) -> None:
    path = write(data)
    started = time.perf_counter()
    error = refused(path)
    assert time.perf_counter() - started < 0.5  # aimed at 0.05 s, with room for a busy machine
    assert error.code == "TOO_LARGE"
    assert "max_pixels" in str(error)
    tracemalloc.start()
    refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_file_far_beyond_any_photo_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    path.write_bytes(encoded(photo(), "PNG"))
    os.truncate(path, 1 << 40)
    assert refused(path).code == "TOO_LARGE"


def test_pixel_limit_is_inclusive_and_the_callers(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(encoded(photo(), "PNG"))
    assert decode(path, max_pixels=90 * 120).shape == (90, 120, 3)
    assert refused(path, max_pixels=90 * 120 - 1).code == "TOO_LARGE"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(path).shape == (90, 120, 3)
    assert Image.MAX_IMAGE_PIXELS == 10


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_image_without_area_cannot_be_decoded(write: Callable[..., Path], kind: str) -> None:
    data = {"PNG": huge_png(0, 5), "JPEG": huge_jpeg(5, 0), "WEBP": b"RIFF\x20\0\0\0WEBPVP8 " + bytes(30)}[kind]
    assert refused(write(data)).code == "DECODE"


def test_out_of_memory_is_reported(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "to_rgb", fail)
    assert refused(write(encoded(photo(), "PNG"))).code == "OOM"


# Files that are none


def test_missing_file_folder_and_broken_links_are_io_errors(tmp_path: Path) -> None:
    folder = tmp_path / "folder.jpg"
    folder.mkdir()
    dangling, looped = tmp_path / "dangling.jpg", tmp_path / "looped.jpg"
    dangling.symlink_to(tmp_path / "nowhere")
    looped.symlink_to(looped)
    for path in (tmp_path / "absent.jpg", dangling, looped, folder, folder / "x.jpg", tmp_path / ("x" * 300)):
        assert refused(path).code == "IO"
    assert "a folder" in str(refused(folder))
    with pytest.raises(PhotoError) as caught:
        decode("nul\0byte.jpg")
    assert caught.value.code == "IO"


def test_pipe_socket_and_device_are_refused_without_being_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe, address = tmp_path / "pipe.jpg", tmp_path / "s.jpg"
    os.mkfifo(pipe)
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        monkeypatch.setattr("builtins.open", lambda *_, **__: pytest.fail("was opened"))
        for path, what in ((pipe, "named pipe"), (address, "socket"), (Path("/dev/zero"), "device")):
            error = refused(path)
            assert error.code == "IO"
            assert what in str(error)


def test_pipe_that_takes_the_files_place_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, plain = tmp_path / "pipe.jpg", tmp_path / "plain.jpg"
    os.mkfifo(pipe)
    plain.write_bytes(b"x")
    regular = plain.stat()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "stat", lambda *_, **__: regular)
        error = refused(pipe)
    assert error.code == "IO"


def test_file_without_permission_is_an_io_error(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(encoded(photo(), "PNG"))

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "_open_without_waiting", refuse)  # root may read everything: chmod would not do
    error = refused(path)
    assert error.code == "IO"
    assert "Permission denied" in str(error)


def test_file_that_grows_while_it_is_read_is_an_io_error(
    write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(encoded(photo(), "PNG"))

    def grow(*_: object) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    monkeypatch.setattr(module, "_check_header", grow)
    error = refused(path)
    assert error.code == "IO"
    assert "changed" in str(error)


def test_suffixes_cover_what_is_read_and_what_is_reported() -> None:
    assert {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".heic"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)


# Arrays


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
