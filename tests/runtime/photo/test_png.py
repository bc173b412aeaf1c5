"""Every kind of PNG has the colours that its samples say; chunks that change no pixel refuse none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from photos import chunk, encoded, exif, photo
from pngs import png_of
from wordmask.errors import PhotoError
from wordmask.photo.png import read_png
from wordmask.photo.reading import load_bytes

HEIGHT, WIDTH = 13, 19
KINDS = [
    *((0, depth) for depth in (1, 2, 4, 8, 16)),
    *((2, depth) for depth in (8, 16)),
    *((3, depth) for depth in (1, 2, 4, 8)),
    *((colour, depth) for colour in (4, 6) for depth in (8, 16)),
]


def pixels(data: bytes) -> NDArray[np.int64]:
    return load_bytes(data, "photo.png").pixels.astype(np.int64)


def random_samples(colour: int, depth: int) -> NDArray[np.int64]:
    channels, most = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour], (1 << depth) - 1
    samples = np.random.default_rng(depth).integers(0, most, (HEIGHT, WIDTH, channels), endpoint=True)
    samples[0, 0], samples[3, 3] = most, samples[2, 2]
    return samples


def shown(samples: NDArray[np.int64], colour: int, depth: int, palette: NDArray[np.int64]) -> NDArray[np.float64]:
    """RGB over white, from 0 to 255."""
    if colour == 3:
        return palette[samples[..., 0]].astype(float)
    share = samples / ((1 << depth) - 1)
    rgb = share[..., :3] if colour in (2, 6) else np.repeat(share[..., :1], 3, -1)
    alpha = share[..., -1:] if colour in (4, 6) else 1
    return 255 * (rgb * alpha + 1 - alpha)


def palette_of(depth: int) -> NDArray[np.int64]:
    return np.random.default_rng(depth).integers(0, 256, (1 << depth, 3))


def before(colour: int, depth: int) -> list[bytes]:
    return [chunk(b"PLTE", palette_of(depth).astype(np.uint8).tobytes())] if colour == 3 else []


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
def test_samples_of_every_kind_are_right(colour: int, depth: int, interlaced: bool) -> None:
    samples = random_samples(colour, depth)
    data = png_of(samples, depth, colour, before=before(colour, depth), interlaced=interlaced)
    expected = shown(samples, colour, depth, palette_of(depth) if colour == 3 else samples)
    assert np.abs(pixels(data) - expected).max() <= 1.1  # alpha is rounded twice
    if colour in (0, 2, 3) and depth <= 8:
        second = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        np.testing.assert_array_equal(pixels(data), second)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), [kind for kind in KINDS if kind[0] in (0, 2)])
def test_a_colour_key_is_white_at_every_depth_and_nothing_else_is(colour: int, depth: int, interlaced: bool) -> None:
    samples = random_samples(colour, depth)
    key = samples[2, 2]
    if depth == 16:
        samples[5, 5] = key ^ 1  # differs in the last bit alone, which 8 bits do not show
    chunks = [chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    expected = shown(samples, colour, depth, samples)
    expected[np.all(samples == key, -1)] = 255
    result = load_bytes(png_of(samples, depth, colour, before=chunks, interlaced=interlaced), "photo.png")
    assert np.abs(result.pixels - expected).max() <= 0.51
    assert result.notes == ()


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_alpha_of_a_palette_is_laid_over_white(depth: int) -> None:
    samples, colours = random_samples(3, depth), palette_of(depth)
    alpha = np.random.default_rng(9).integers(0, 256, 1 << depth)
    for table in (alpha, np.where(np.arange(1 << depth) == samples[2, 2, 0], 0, 255)):
        share = table[samples] / 255
        expected = shown(samples, 3, depth, colours) * share + 255 * (1 - share)
        data = png_of(samples, depth, 3, before=[*before(3, depth), chunk(b"tRNS", table.astype(np.uint8).tobytes())])
        assert np.abs(pixels(data) - expected).max() <= 1


def test_a_picture_that_is_transparent_everywhere_is_white_and_noted() -> None:
    clear = np.dstack([photo(), np.zeros((90, 120), np.uint8)])
    keyed = np.full((HEIGHT, WIDTH, 1), 0xFF07)
    hidden = png_of(keyed, 16, 0, before=[chunk(b"tRNS", b"\xff\7")])
    for data in (encoded(clear, "PNG"), encoded(clear, "WEBP", lossless=True), encoded(clear, "TIFF"), hidden):
        result = load_bytes(data, "photo")
        assert result.pixels.min() == 255
        assert result.notes == ("the image is transparent everywhere: it is read as white",)


SAMPLES = photo().astype(np.int64)
TEXT = b"x" * 1_500_000
UNCHANGING = {
    "large zTXt": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(TEXT)),
    "large iTXt": chunk(b"iTXt", b"Comment\0\0\0\0\0" + TEXT),
    "large compressed iTXt": chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(TEXT)),
    "large iCCP": chunk(b"iCCP", b"name\0\0" + zlib.compress(TEXT)),
    "large zTXt for exif": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(TEXT)),
    "large iTXt for XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(TEXT)),
    "unknown compression of zTXt": chunk(b"zTXt", b"Comment\0\1" + zlib.compress(b"x")),
    "unknown compression of iCCP": chunk(b"iCCP", b"name\0\7" + zlib.compress(b"x")),
    "iCCP without end": chunk(b"iCCP", b"name"),
    "garbled zTXt": chunk(b"zTXt", b"Comment\0\0garbage"),
    "garbled eXIf": chunk(b"eXIf", b"garbage"),
    "short pHYs": chunk(b"pHYs", b"\0"),
    "short sRGB": chunk(b"sRGB", b""),
    "short gAMA": chunk(b"gAMA", b"\0"),
    "odd cHRM": chunk(b"cHRM", b"\0" * 31),
    "a text called transparency": chunk(b"tEXt", b"transparency\0" + b"5"),
    "a text that is no Latin 1 key": chunk(b"tEXt", b"\0\0"),
    "short acTL": chunk(b"acTL", b"\0"),
    "short fcTL": chunk(b"fcTL", b"\0"),
    "fdAT out of order": chunk(b"fdAT", b"\0\0\0\5x"),
    "unknown ancillary chunk": chunk(b"quUx", TEXT),
} | {
    f"wrong checksum of {name.decode()}": chunk(name, content)[:-1] + b"\0"
    for name, content in {
        b"tEXt": b"Comment\0x",
        b"zTXt": b"Comment\0\0" + zlib.compress(b"x"),
        b"iTXt": b"Comment\0\0\0\0\0x",
        b"iCCP": b"name\0\0" + zlib.compress(b"x"),
        b"eXIf": b"II*\0",
        b"gAMA": b"\0\0\xb1\x8f",
        b"pHYs": bytes(9),
        b"tIME": bytes(7),
        b"acTL": bytes(8),
    }.items()
}


@pytest.mark.parametrize("name", UNCHANGING)
def test_chunks_that_change_no_pixel_refuse_no_photo(name: str) -> None:
    for chunks in ({"before": [UNCHANGING[name]]}, {"after": [UNCHANGING[name]]}):
        result = load_bytes(png_of(SAMPLES, 8, 2, **chunks), "photo.png")
        np.testing.assert_array_equal(result.pixels, SAMPLES)
        assert result.notes == ()


def test_a_damaged_colour_key_is_damage() -> None:
    wrong = chunk(b"tRNS", bytes(6))[:-1] + b"\1"
    for broken in (wrong, chunk(b"tRNS", b"\0")):
        with pytest.raises(PhotoError, match="tRNS") as caught:
            pixels(png_of(SAMPLES, 8, 2, before=[broken]))
        assert caught.value.code == "DECODE"


def test_pixels_between_other_chunks_are_joined() -> None:
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in photo()))
    text = chunk(b"tEXt", b"Comment\0x")
    parts = b"".join(text + chunk(b"IDAT", rows[start : start + 997]) for start in range(0, len(rows), 997))
    header = png_of(SAMPLES, 8, 2)[:33]
    np.testing.assert_array_equal(pixels(header + parts + chunk(b"IEND", b"")), SAMPLES)


def test_apples_own_kind_of_png_is_unsupported() -> None:
    whole = png_of(SAMPLES, 8, 2)
    with pytest.raises(PhotoError, match="pngcrush") as caught:
        pixels(whole[:8] + chunk(b"CgBI", bytes(4)) + whole[8:])
    assert caught.value.code == "UNSUPPORTED"


TURNED = np.rot90(photo(), -1)


@pytest.mark.parametrize("place", ["before", "after"])
def test_orientation_is_found_in_every_place_that_tools_keep_it(place: str) -> None:
    content = exif(6).tobytes().removeprefix(b"Exif\0\0")
    raw = b"\nexif\n%8d\n%s\n" % (len(content) + 6, (b"Exif\0\0" + content).hex().encode())
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    for where in (
        chunk(b"eXIf", content),
        chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw)),
        chunk(b"tEXt", b"Raw profile type exif\0" + raw),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)),
    ):
        np.testing.assert_array_equal(pixels(png_of(SAMPLES, 8, 2, **{place: [where]})), TURNED)


def animation(frames: Sequence[NDArray[np.uint8]], **options: object) -> bytes:
    rest = [Image.fromarray(frame) for frame in frames[1:]]
    return encoded(frames[0], "PNG", save_all=True, append_images=rest, **options)


def test_the_first_picture_of_an_animation_is_taken_and_noted() -> None:
    other = photo()[::-1].copy()
    for data, count in ((animation([photo(), other]), 2), (animation([photo(), other], default_image=True), 2)):
        result = load_bytes(data, "photo.png")
        np.testing.assert_array_equal(result.pixels, photo())
        assert read_png(data).several, count
        assert result.notes == ("only the first of several images is used",)
    assert load_bytes(encoded(photo(), "PNG"), "photo.png").notes == ()
