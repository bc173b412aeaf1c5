"""What is no photo, or far too large, is refused from its first bytes, and says what it is."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from photos import encoded, photo, png, refused
from wordmask.photo import reading as module
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.reading import decode


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
