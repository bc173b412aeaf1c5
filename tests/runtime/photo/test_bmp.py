"""Every kind of BMP has the colours that its bytes say, or is refused with what it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bmps import bmp
from wordmask.errors import PhotoError
from wordmask.photo.reading import load_bytes

HEIGHT, WIDTH = 13, 19
HEADERS = (12, 40, 108, 124)
Samples = NDArray[np.integer]


def pixels(data: bytes) -> NDArray[np.uint8]:
    return load_bytes(data, "photo.bmp").pixels


def padded(row: bytes) -> bytes:
    return row + bytes(-len(row) % 4)


def rows_of(samples: Samples, bits: int = 8, *, top_down: bool = False) -> bytes:
    """(H, W) of so many bits or (H, W, C) of bytes, as a BMP keeps them."""
    rows = samples if top_down else samples[::-1]
    if bits == 8 or samples.ndim == 3:
        return b"".join(padded(row.astype(np.uint8).tobytes()) for row in rows)
    split = (np.unpackbits(row.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :] for row in rows)
    return b"".join(padded(np.packbits(row.reshape(-1)).tobytes()) for row in split)


def palette(kind: str, count: int) -> list[tuple[int, int, int]]:
    random = np.random.default_rng(count).integers(0, 256, (count, 3))
    return {
        "colours": [(int(r), int(g), int(b)) for r, g, b in random],
        "grey ramp": [(255 * i // (count - 1),) * 3 for i in range(count)],
        "dark greys": [(i, i, i) for i in range(count)],
        "black and white": [(0, 0, 0), (255, 255, 255)],
        "white and black": [(255, 255, 255), (0, 0, 0)],
        "one colour": [(9, 8, 7)],
    }[kind]


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize(
    "kind", ["colours", "grey ramp", "dark greys", "black and white", "white and black", "one colour"]
)
def test_a_palette_is_looked_up_whatever_its_size_and_colours(bits: int, kind: str) -> None:
    colours = palette(kind, 1 << bits)
    index = np.random.default_rng(bits).integers(0, len(colours), (HEIGHT, WIDTH))
    for header in HEADERS:
        if header == 12 and len(colours) < 1 << bits:
            continue  # its palette is always full
        data = bmp(WIDTH, HEIGHT, bits, rows_of(index, bits), header=header, palette=colours)
        np.testing.assert_array_equal(pixels(data), np.array(colours)[index])
        if header > 12:
            data = bmp(WIDTH, -HEIGHT, bits, rows_of(index, bits, top_down=True), header=header, palette=colours)
            np.testing.assert_array_equal(pixels(data), np.array(colours)[index])


def test_a_colour_beyond_the_palette_and_a_cut_bmp_are_damage() -> None:
    index = np.full((HEIGHT, WIDTH), 5)
    with pytest.raises(PhotoError, match="palette has 2 colours, but a pixel has the colour 5") as caught:
        pixels(bmp(WIDTH, HEIGHT, 8, rows_of(index), palette=palette("black and white", 2)))
    assert caught.value.code == "DECODE"
    for bits in (1, 4, 8):
        whole = bmp(WIDTH, HEIGHT, bits, rows_of(index * 0, bits), palette=palette("colours", 1 << bits))
        assert pixels(whole).shape == (HEIGHT, WIDTH, 3)
        with pytest.raises(PhotoError, match="ends inside its pixels"):
            pixels(whole[:-5])


def runs(index: Samples, bits: int) -> bytes:
    """RLE4 or RLE8, with runs of one colour and of several, of odd and even lengths."""
    random, code = np.random.default_rng(1), b""
    for row in index[::-1].tolist():
        start = 0
        while start < len(row):
            count = min(int(random.integers(1, 9)), len(row) - start)
            part = row[start : start + count]
            start += count
            if len(set(part)) == 1:
                code += bytes([count, part[0] * (17 if bits == 4 else 1)])
            elif count < 3:
                start -= count - 1
                code += bytes([1, part[0] << (4 if bits == 4 else 0)])
            else:
                nibbles = part + [0] * (count % 2)
                stored = (
                    bytes(nibbles[i] << 4 | nibbles[i + 1] for i in range(0, len(nibbles), 2))
                    if bits == 4
                    else bytes(part)
                )
                code += bytes([0, count]) + stored + bytes(len(stored) % 2)
        code += b"\0\0"
    return code + b"\0\1"


@pytest.mark.parametrize(("bits", "compression"), [(4, 2), (8, 1)])
@pytest.mark.parametrize("kind", ["colours", "dark greys", "black and white"])
def test_runs_of_any_length_are_right(bits: int, compression: int, kind: str) -> None:
    colours = palette(kind, 1 << bits)
    index = np.random.default_rng(3).integers(0, len(colours), (HEIGHT, WIDTH))
    index[4] = index[4, 0]
    data = bmp(WIDTH, HEIGHT, bits, runs(index, bits), compression=compression, palette=colours)
    np.testing.assert_array_equal(pixels(data), np.array(colours)[index])
    with pytest.raises(PhotoError, match="ends inside its pixels") as caught:
        pixels(bmp(WIDTH, HEIGHT, bits, runs(index[:5], bits), compression=compression, palette=colours))
    assert caught.value.code == "DECODE"


def test_pixels_that_runs_skip_have_the_first_colour() -> None:
    colours = palette("colours", 256)
    code = b"\2\7" + b"\0\2\1\1" + b"\1\5\0\0" + b"\0\1"  # two 7s, then one right and a row up, one 5
    index = np.array([[0, 0, 0, 5], [7, 7, 0, 0]])
    data = bmp(4, 2, 8, code, compression=1, palette=colours)
    np.testing.assert_array_equal(pixels(data), np.array(colours)[index])


MASKS = {
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
}


@pytest.mark.parametrize("header", [56, 108, 124])
@pytest.mark.parametrize("order", MASKS)
def test_alpha_is_laid_over_white_and_taken_as_opaque_where_it_is_0_everywhere(header: int, order: str) -> None:
    rgba = np.random.default_rng(2).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    stored = ["RGBA".index(letter) for letter in order]

    def photo_of(samples: NDArray[np.uint8]):
        data = bmp(WIDTH, HEIGHT, 32, rows_of(samples[..., stored]), header=header, compression=3, masks=MASKS[order])
        return load_bytes(data, "photo.bmp")

    share = rgba[..., 3:] / 255
    over = photo_of(rgba)
    assert np.abs(over.pixels - (rgba[..., :3] * share + 255 * (1 - share))).max() <= 1
    assert over.notes == ()
    rgba[..., 3] = 0
    opaque = photo_of(rgba)
    np.testing.assert_array_equal(opaque.pixels, rgba[..., :3])
    assert opaque.notes == ("the BMP's alpha is 0 everywhere: its colours are taken as opaque",)


@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
def test_colours_without_a_palette_are_right_in_every_header(header: int) -> None:
    random = np.random.default_rng(header)
    rgbx = random.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    for bits, channels in ((24, [2, 1, 0]), (32, [2, 1, 0, 3])):
        data = bmp(WIDTH, HEIGHT, bits, rows_of(rgbx[..., channels]), header=header)
        np.testing.assert_array_equal(pixels(data), rgbx[..., :3])
    for masks, sizes in (((0xF800, 0x7E0, 0x1F), (5, 6, 5)), ((0x7C00, 0x3E0, 0x1F), (5, 5, 5))):
        parts = [random.integers(0, 1 << size, (HEIGHT, WIDTH)) for size in sizes]
        joined = sum(part * (mask & -mask) for part, mask in zip(parts, masks, strict=True))
        stored = joined.astype("<u2").view(np.uint8).reshape(HEIGHT, WIDTH, 2)
        expected = np.stack([part * 255 / ((1 << size) - 1) for part, size in zip(parts, sizes, strict=True)], -1)
        data = bmp(WIDTH, HEIGHT, 16, rows_of(stored), header=header, compression=3, masks=masks)
        assert np.abs(pixels(data) - expected).max() <= 1
        if sizes == (5, 5, 5):
            assert np.abs(pixels(bmp(WIDTH, HEIGHT, 16, rows_of(stored), header=header)) - expected).max() <= 1


@pytest.mark.parametrize(
    ("bits", "compression", "masks", "what"),
    [
        (32, 3, (0x3FF00000, 0xFFC00, 0x3FF), "bitfields layout"),
        (16, 3, (0xF00, 0xF0, 0xF), "bitfields layout"),
        (24, 4, (), "compression"),
        (2, 0, (), "pixel depth (2)"),
        (64, 0, (), "pixel depth (64)"),
    ],
)
def test_what_is_not_read_is_unsupported_and_named(
    bits: int, compression: int, masks: tuple[int, ...], what: str
) -> None:
    with pytest.raises(PhotoError) as caught:
        pixels(bmp(WIDTH, HEIGHT, bits, bytes(WIDTH * HEIGHT * 8), compression=compression, masks=masks))
    assert caught.value.code == "UNSUPPORTED"
    assert what in str(caught.value)
    assert "save it as PNG" in str(caught.value)
