"""Colours are taken as they are, or converted to sRGB by the photo's profile where that is asked for."""

from __future__ import annotations

import io
import struct
import sys
import zlib

import numpy as np
import PIL
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from photos import chunk, encoded, exif
from wordmask.errors import PhotoError
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import load_bytes

SRGB = ReadOptions(color_profile="srgb")
# Red, green and blue of Display P3 (SMPTE EG 432-1), and sRGB's curve.
P3 = np.array([[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]])
TO_SRGB = np.array(
    [[3.2409699, -1.5373832, -0.4986108], [-0.9692436, 1.8759675, 0.0415551], [0.0556301, -0.2039770, 1.0569715]]
)
BRADFORD = np.array(  # from D65 to D50
    [[1.0479298, 0.0229469, -0.0501923], [0.0296278, 0.9904344, -0.0170738], [-0.0092430, 0.0150552, 0.7518743]]
)


def tag(kind: bytes, *numbers: float) -> bytes:
    return kind + bytes(4) + struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def display_p3() -> bytes:
    """An ICC profile (version 2) of three primaries adapted to D50 by Bradford, and sRGB's curve."""
    primaries = BRADFORD @ P3
    levels = np.arange(256) / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    curve = b"curv" + bytes(4) + struct.pack(">I256H", 256, *np.round(linear * 65535).astype(int))
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 3) + b"P3\0" + bytes(79),
        b"wtpt": tag(b"XYZ ", 0.9642, 1, 0.8249),
    }
    tags |= {name: tag(b"XYZ ", *primaries[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def srgb_of_p3(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = pixels / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ (TO_SRGB @ P3).T, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def colours() -> NDArray[np.uint8]:
    """Every eighth part of red, green and blue."""
    return np.stack(np.meshgrid(*3 * [np.arange(0, 256, 32)], indexing="ij"), -1).reshape(16, 32, 3).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True}), ("JPEG", {"quality": 100, "subsampling": 0})],
)
def test_display_p3_becomes_srgb_where_that_is_asked_for(kind: str, options: dict[str, object]) -> None:
    stored = np.repeat(np.repeat(colours(), 8, 0), 8, 1)  # whole blocks, for JPEG
    data = encoded(stored, kind, icc_profile=display_p3(), **options)
    as_it_is, converted = load_bytes(data, "photo").pixels, load_bytes(data, "photo", SRGB)
    loss = 3 if kind == "JPEG" else 0
    assert np.abs(as_it_is.astype(int) - stored).max() <= loss
    assert converted.notes == ()
    # LittleCMS computes with 8-bit tables near the edge of sRGB
    assert np.abs(converted.pixels - srgb_of_p3(stored)).max() <= 6 + 4 * loss
    assert np.abs(converted.pixels - srgb_of_p3(stored)).mean() <= 1


def test_the_default_is_what_clips_and_sam2s_loaders_do() -> None:
    data = encoded(colours(), "PNG", icc_profile=display_p3())
    with Image.open(io.BytesIO(data)) as picture:
        np.testing.assert_array_equal(load_bytes(data, "photo").pixels, np.asarray(picture.convert("RGB")))


def test_a_photo_without_a_profile_is_the_same_either_way() -> None:
    for kind, options in (("PNG", {}), ("JPEG", {}), ("TIFF", {}), ("BMP", {}), ("GIF", {}), ("PPM", {})):
        data = encoded(colours(), kind, **options)
        np.testing.assert_array_equal(load_bytes(data, "photo", SRGB).pixels, load_bytes(data, "photo").pixels)


def test_transparency_palettes_16_bits_and_orientation_survive_the_conversion() -> None:
    profile, expected = display_p3(), srgb_of_p3(colours())
    alpha = np.full((16, 32), 255, np.uint8)
    alpha[0, 0] = 0
    clear = load_bytes(encoded(np.dstack([colours(), alpha]), "PNG", icc_profile=profile), "photo", SRGB).pixels
    assert clear[0, 0].tolist() == [255, 255, 255]
    assert np.abs(clear[1:] - expected[1:]).max() <= 6
    few = Image.fromarray(colours()).quantize(16)
    of_palette = load_bytes(encoded(few, "PNG", icc_profile=profile), "photo", SRGB).pixels
    assert np.abs(of_palette - srgb_of_p3(np.asarray(few.convert("RGB")))).max() <= 6
    turned = load_bytes(encoded(colours(), "PNG", icc_profile=profile, exif=exif(6)), "photo", SRGB).pixels
    assert np.abs(turned - np.rot90(expected, -1)).max() <= 6
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours().astype(int) * 257)
    deep = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 16, 16, 2, 0, 0, 0))
    deep += (
        chunk(b"iCCP", b"P3\0\0" + zlib.compress(profile)) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )
    assert np.abs(load_bytes(deep, "photo", SRGB).pixels - expected).max() <= 6


def test_a_grey_photo_with_a_grey_profile_is_converted() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    linear = b"curv" + bytes(4) + struct.pack(">I", 0)
    body = [(b"wtpt", tag(b"XYZ ", 0.9642, 1, 0.8249)), (b"kTRC", linear)]
    start, table, content = 128 + 4 + 24, b"", b""
    for name, part in body:
        table += struct.pack(">4sII", name, start + len(content), len(part))
        content += part
    header = struct.pack(
        ">I4sI4s4s4s12x4s", start + len(content), b"lcms", 0x02100000, b"mntr", b"GRAY", b"XYZ ", b"acsp"
    )
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    profile = header.ljust(128, b"\0") + struct.pack(">I", 2) + table + content
    share = levels / 255
    expected = 255 * np.where(share <= 0.0031308, 12.92 * share, 1.055 * share ** (1 / 2.4) - 0.055)
    for data in (encoded(levels, "PNG", icc_profile=profile), encoded(levels, "TIFF", icc_profile=profile)):
        result = load_bytes(data, "photo", SRGB).pixels
        difference = np.abs(result - expected[..., None])
        assert difference[1:].max() <= 3
        assert difference[:1].max() <= 12  # near black, where the curve is steep for LittleCMS's tables


@pytest.mark.parametrize(
    ("picture", "profile", "why"),
    [
        (Image.fromarray(colours()), b"garbage", "cannot be used"),
        (Image.fromarray(colours()[..., 0]), display_p3(), "is for RGB, the image is L"),
        (Image.new("CMYK", (32, 16), (10, 20, 30, 40)), display_p3(), "is for RGB, the image is CMYK"),
    ],
)
def test_a_profile_that_cannot_be_used_is_noted_and_ignored(picture: Image.Image, profile: bytes, why: str) -> None:
    data = encoded(picture, "TIFF", icc_profile=profile)
    result = load_bytes(data, "photo", SRGB)
    np.testing.assert_array_equal(result.pixels, load_bytes(data, "photo").pixels)
    assert len(result.notes) == 1
    assert why in result.notes[0]
    assert "not applied" in result.notes[0]
    assert result.notes[0].isprintable()


def test_a_damaged_profile_of_a_png_is_no_profile() -> None:
    whole = encoded(colours(), "PNG", icc_profile=display_p3())
    place = whole.index(b"iCCP") + 40
    broken = whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
    np.testing.assert_array_equal(load_bytes(broken, "photo", SRGB).pixels, colours())


def test_srgbs_own_profile_changes_next_to_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = load_bytes(encoded(colours(), "PNG", icc_profile=profile), "photo", SRGB).pixels
    assert np.abs(result.astype(int) - colours()).max() <= 1


def test_a_pillow_without_littlecms_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.ImageCms", None)
    monkeypatch.delattr(PIL, "ImageCms", raising=False)
    with pytest.raises(PhotoError, match="LittleCMS") as caught:
        load_bytes(encoded(colours(), "PNG", icc_profile=display_p3()), "photo", SRGB)
    assert caught.value.code == "UNSUPPORTED"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"color_profile": "p3"}, "must be ignore or srgb"), ({"max_pixels": 0}, "must be at least 1")],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReadOptions(**options)
