"""JPEG in all its colours, PPM, GIF, WebP and AVIF are read as their samples are; other kinds are named."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from photos import encoded, photo
from wordmask.errors import PhotoError
from wordmask.photo.reading import load_bytes

DATA = Path(__file__).parents[2] / "data" / "photos"  # made with imagecodecs 2026.3.6 from 16 x 12 pixels
HEIGHT, WIDTH = 13, 19


def pixels(data: bytes) -> NDArray[np.int64]:
    return load_bytes(data, "photo").pixels.astype(np.int64)


def smooth(channels: int = 3) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[0:48, 0:64]
    waves = [np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 13), np.cos(rows / 11)]
    return np.stack([128 + 90 * wave for wave in waves[:channels]], -1).astype(np.uint8)


def by_opencv(data: bytes) -> NDArray[np.int64]:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(np.int64)


@pytest.mark.parametrize("maximum", [1, 15, 100, 255, 256, 1000, 4095, 65535])
@pytest.mark.parametrize(("number", "channels"), [(2, 1), (3, 3), (5, 1), (6, 3)])
def test_netpbm_samples_are_scaled_by_their_maximum(number: int, channels: int, maximum: int) -> None:
    samples = np.random.default_rng(maximum).integers(0, maximum, (HEIGHT, WIDTH, channels), endpoint=True)
    head = b"P%d\n# made here\n%d %d\n%d\n" % (number, WIDTH, HEIGHT, maximum)
    plain = b" ".join(b"%d" % value for value in samples.reshape(-1))
    body = plain if number < 4 else samples.astype(">u2" if maximum > 255 else "u1").tobytes()
    # Pillow rounds half values to even numbers.
    assert np.abs(pixels(head + body) - samples * 255 / maximum).max() <= 0.51 + (maximum > 255)


@pytest.mark.parametrize("number", [1, 4])
def test_netpbm_bits_are_black_where_they_are_1(number: int) -> None:
    bits = np.random.default_rng(1).integers(0, 2, (HEIGHT, WIDTH))
    body = b" ".join(b"%d" % bit for bit in bits.reshape(-1)) if number == 1 else np.packbits(bits, axis=1).tobytes()
    expected = np.repeat(255 - 255 * bits[..., None], 3, -1)
    np.testing.assert_array_equal(pixels(b"P%d\n%d %d\n" % (number, WIDTH, HEIGHT) + body), expected)


@pytest.mark.parametrize("options", [{}, {"interlace": 0}, {"interlace": 1}, {"transparency": 5}])
def test_a_gif_has_its_palettes_colours(options: dict[str, int]) -> None:
    random = np.random.default_rng(6)
    index, colours = random.integers(0, 200, (HEIGHT, WIDTH), dtype=np.uint8), random.integers(0, 256, (256, 3))
    picture = Image.fromarray(index)
    picture.putpalette(colours.astype(np.uint8).tobytes())
    expected = colours[index]
    expected[index == options.get("transparency", -1)] = 255
    np.testing.assert_array_equal(pixels(encoded(picture, "GIF", **options)), expected)


def test_a_lossless_webp_is_right_and_a_lossy_one_as_opencv_reads_it() -> None:
    rgba = smooth(4)
    share = rgba[..., 3:] / 255
    over = rgba[..., :3] * share + 255 * (1 - share)
    np.testing.assert_array_equal(pixels(encoded(rgba[..., :3], "WEBP", lossless=True)), rgba[..., :3])
    assert np.abs(pixels(encoded(rgba, "WEBP", lossless=True, exact=True)) - over).max() <= 1
    lossy = encoded(rgba[..., :3], "WEBP", quality=80)
    np.testing.assert_array_equal(pixels(lossy), by_opencv(lossy))


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_of_8_bits_and_its_alpha_are_right() -> None:
    rgba = smooth(4)
    share = rgba[..., 3:] / 255
    options = {"quality": 100, "subsampling": "4:4:4"}
    for picture, expected in ((rgba[..., :3], rgba[..., :3]), (rgba, rgba[..., :3] * share + 255 * (1 - share))):
        assert np.abs(pixels(encoded(picture, "AVIF", **options)) - expected).max() <= 4  # lossy even so


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"keep_rgb": True}, {"subsampling": 0}])
@pytest.mark.parametrize("grey", [False, True])
def test_a_jpeg_in_grey_ycbcr_or_rgb_is_as_opencv_reads_it(options: dict[str, object], grey: bool) -> None:
    data = encoded(smooth()[..., 0] if grey else smooth(), "JPEG", quality=95, **options)
    np.testing.assert_array_equal(pixels(data), by_opencv(data))


def cmyk_jpeg(transform: int | None) -> tuple[bytes, NDArray[np.float64]]:
    """A JPEG of four inks and its RGB. transform: of Adobe's marker, 0 CMYK, 2 YCCK; None leaves the marker out."""
    inks = smooth(4)
    share = inks / 255
    stored = inks  # Pillow writes it inverted, as Adobe does
    if transform == 2:
        stored = np.dstack([255 - cv2.cvtColor(inks[..., :3], cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]], inks[..., 3]])
    data = encoded(Image.frombytes("CMYK", (64, 48), stored.tobytes()), "JPEG", quality=98, subsampling=0)
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    said = b"" if transform is None else data[marker : marker + 15] + bytes([transform])
    return data[:marker] + said + data[marker + 16 :], 255 * (1 - share[..., :3]) * (1 - share[..., 3:])


@pytest.mark.parametrize("transform", [0, 2, None])
def test_a_jpeg_of_inks_is_right(transform: int | None) -> None:
    data, expected = cmyk_jpeg(transform)
    difference = np.abs(pixels(data) - expected)
    assert difference.max() <= 12  # JPEG's loss and the rounding of YCCK
    assert difference.mean() <= 2
    assert np.abs(pixels(data) - by_opencv(data)).max() <= 12


def test_the_first_picture_of_an_mpo_is_taken() -> None:
    data = encoded(photo(), "MPO", save_all=True, append_images=[Image.fromarray(photo()[::-1].copy())])
    with Image.open(io.BytesIO(data)) as opened:
        assert opened.n_frames == 2
    np.testing.assert_array_equal(pixels(data), pixels(encoded(photo(), "JPEG")))


def test_a_lossless_jpeg_is_right_or_named() -> None:
    rows, columns = np.mgrid[0:12, 0:16]
    expected = np.stack([rows * 20, columns * 15, (rows + columns) * 9], -1)
    try:
        np.testing.assert_array_equal(pixels((DATA / "lossless.jpg").read_bytes()), expected)
    except PhotoError as error:  # libjpeg-turbo before 3
        assert error.code == "UNSUPPORTED"
        assert "lossless JPEG" in str(error)


def with_frame_kind(kind: int) -> bytes:
    data = encoded(photo(), "JPEG")
    return data.replace(b"\xff\xc0", bytes([0xFF, kind]), 1)


def without_height() -> bytes:
    """A JPEG that states its height in a DNL segment behind its scan."""
    data = encoded(photo(), "JPEG")
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + b"\0\0" + data[start + 2 : -2] + b"\xff\xdc\0\4" + data[start : start + 2] + b"\xff\xd9"


@pytest.mark.parametrize(
    ("data", "what"),
    [
        ((DATA / "jpegls.jls").read_bytes(), "JPEG-LS"),
        (with_frame_kind(0xC5), "hierarchical JPEG"),
        (without_height(), "DNL"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 255\nENDHDR\n\1\2\3", "PAM"),
        (b"PF\n1 1\n-1.0\n" + bytes(12), "floating-point PFM"),
        (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n" + bytes(4), "Radiance HDR"),
        (b"qoif" + bytes(20), "QOI"),
        (b"II\xbc\1" + bytes(20), "JPEG XR"),
        (b"IIU\0" + bytes(20), "camera raw"),
        (b"FUJIFILMCCD-RAW 0201", "camera raw"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42", "video"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", "video"),
    ],
)
def test_sound_files_of_other_kinds_are_named_and_never_called_damaged(data: bytes, what: str) -> None:
    with pytest.raises(PhotoError) as caught:
        pixels(data)
    assert caught.value.code == "UNSUPPORTED"
    assert what in str(caught.value)
    assert "again" not in str(caught.value)
