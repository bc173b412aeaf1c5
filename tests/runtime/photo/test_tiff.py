"""Every kind of TIFF is read as a second decoder reads it, or refused with what it is; never wrong pixels."""

from __future__ import annotations

import io
import itertools
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from photos import encoded, exif, photo
from tiffs import tiff
from wordmask.errors import PhotoError
from wordmask.photo.reading import load_bytes

# Made with tifffile 2026.3.3 and imagecodecs 2026.3.6 from 16 x 12 pixels; nothing of the test extra can write them.
DATA = Path(__file__).parents[2] / "data" / "photos"
HEIGHT, WIDTH = 35, 51  # no multiples of a tile, a strip or a byte
Samples = NDArray[np.integer]


def pixels(data: bytes) -> NDArray[np.int64]:
    return load_bytes(data, "photo.tif").pixels.astype(np.int64)


def refusal(data: bytes) -> PhotoError:
    with pytest.raises(PhotoError) as caught:
        load_bytes(data, "photo.tif")
    return caught.value


def random_samples(dtype: str, channels: int, seed: int = 5) -> Samples:
    shape = (HEIGHT, WIDTH, channels)
    if dtype[0] == "f":
        return np.random.default_rng(seed).random(shape).astype(dtype)
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def written(samples: Samples, colours: str, extra: tuple[int, ...] = (), *, planar: bool = False, **options) -> bytes:
    """(H, W, C) in tifffile's writing."""
    stream = io.BytesIO()
    stored = samples[..., 0] if samples.shape[-1] == 1 else np.moveaxis(samples, -1, 0) if planar else samples
    arrangement = {"planarconfig": "separate" if planar else "contig"} if samples.shape[-1] > 1 else {}
    tifffile.imwrite(
        stream, stored, photometric=colours, extrasamples=extra or None, metadata=None, **arrangement, **options
    )
    return stream.getvalue()


def read_by_tifffile(data: bytes, colours: str, extra: tuple[int, ...]) -> NDArray[np.float64]:
    """RGB over white from what tifffile reads."""
    page = tifffile.TiffFile(io.BytesIO(data)).pages[0]
    samples = page.asarray()
    if samples.ndim == 2:
        samples = samples[..., None]
    elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        samples = np.moveaxis(samples, 0, -1)
    share = samples / np.iinfo(samples.dtype).max
    if colours == "separated":
        rgb = (1 - share[..., :3]) * (1 - share[..., 3:4])
    else:
        rgb = np.repeat(share[..., :1], 3, -1) if colours.startswith("min") else share[..., :3]
        rgb = 1 - rgb if colours == "miniswhite" else rgb
    for code, alpha in zip(extra, np.moveaxis(share, -1, 0)[-len(extra) or len(share) :, ..., None], strict=True):
        rgb = {0: rgb, 1: rgb + 1 - alpha, 2: rgb * alpha + 1 - alpha}[code]
    return rgb * 255


KINDS = [
    ("minisblack", "u1", 1, ()),
    ("miniswhite", "u1", 1, ()),
    ("minisblack", "u2", 1, ()),
    ("minisblack", "u1", 2, (2,)),
    ("rgb", "u1", 3, ()),
    ("rgb", "u2", 3, ()),
    *(("rgb", "u1", 4, (code,)) for code in (0, 1, 2)),
    *(("rgb", "u2", 4, (code,)) for code in (0, 2)),
    *(("rgb", "u1", 5, (code, 0)) for code in (0, 1, 2)),
    ("rgb", "u1", 6, (2, 0, 0)),
    ("separated", "u1", 4, ()),
    ("separated", "u1", 5, (0,)),
]


@pytest.mark.parametrize(("colours", "dtype", "channels", "extra"), KINDS)
def test_what_is_read_is_what_tifffile_reads(colours: str, dtype: str, channels: int, extra: tuple[int, ...]) -> None:
    samples = random_samples(dtype, channels)
    if 1 in extra:  # no colour is above its alpha
        samples[..., :3] = np.minimum(samples[..., :3], samples[..., 3:4])
    layouts = itertools.product("<>", (None, "zlib", "lzma"), (None, (16, 16)), (False, True))
    for order, compression, tile, predictor in layouts:
        if (predictor and compression is None) or (dtype == "u2" and channels > 1 and compression == "lzma"):
            continue
        options = {"byteorder": order, "compression": compression, "tile": tile, "predictor": predictor or None}
        data = written(samples, colours, extra, rowsperstrip=None if tile else 8, **options)
        assert np.abs(pixels(data) - read_by_tifffile(data, colours, extra)).max() <= 2, options  # rounding of alpha
    data = written(samples, colours, extra, bigtiff=True)
    assert np.abs(pixels(data) - read_by_tifffile(data, colours, extra)).max() <= 2


@pytest.mark.parametrize("extra", [(), (0,), (1,), (2,), (0, 0)])
def test_planes_of_8_bits_are_what_tifffile_reads_or_refused(extra: tuple[int, ...]) -> None:
    samples = random_samples("u1", 3 + len(extra))
    if 1 in extra:
        samples[..., :3] = np.minimum(samples[..., :3], samples[..., 3:4])
    for compression, tile, order in itertools.product((None, "zlib"), (None, (16, 16)), "<>"):
        data = written(samples, "rgb", extra, planar=True, compression=compression, tile=tile, byteorder=order)
        if compression is None and extra not in ((), (2,)):
            assert refusal(data).code == "UNSUPPORTED"
        else:
            assert np.abs(pixels(data) - read_by_tifffile(data, "rgb", extra)).max() <= 2


@pytest.mark.parametrize("extra", [(), (0,), (2,)])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_16_bits_are_refused_and_never_uninitialised_memory(
    extra: tuple[int, ...], compression: str | None, order: str
) -> None:
    samples = random_samples("u2", 3 + len(extra))
    for tile in (None, (16, 16)):
        data = written(samples, "rgb", extra, planar=True, compression=compression, byteorder=order, tile=tile)
        error = refusal(data)
        assert error.code == "DEPTH"
        assert "tiffcp -p contig" in str(error) or "8-bit RGB" in str(error)


REFUSED = [
    ("minisblack", "i1", 1, (), "DEPTH", "grey, 8 bits each, signed"),
    ("minisblack", "i2", 1, (), "DEPTH", "16 bits each, signed"),
    ("rgb", "i2", 3, (), "DEPTH", "signed"),
    ("minisblack", "u4", 1, (), "DEPTH", "32 bits"),
    ("minisblack", "u8", 1, (), "DEPTH", "64 bits"),
    ("minisblack", "f2", 1, (), "DEPTH", "16 bits each, floating-point"),
    ("minisblack", "f4", 1, (), "DEPTH", "32 bits each, floating-point"),
    ("minisblack", "f8", 1, (), "DEPTH", "64 bits each, floating-point"),
    ("rgb", "f4", 3, (), "DEPTH", "RGB, 32 bits each, floating-point"),
    ("minisblack", "u2", 2, (2,), "DEPTH", "grey + 1 extra sample (alpha), 16 bits"),
    ("minisblack", "u1", 5, (0, 0, 0, 0), "UNSUPPORTED", "grey + 4 extra samples"),
    ("rgb", "u2", 5, (0, 0), "DEPTH", "RGB + 2 extra samples (no meaning, no meaning), 16 bits"),
    ("rgb", "u2", 4, (1,), "DEPTH", "premultiplied alpha"),
    ("rgb", "u1", 5, (0, 2), "UNSUPPORTED", "no meaning, alpha"),
    ("minisblack", "u1", 2, (1,), "UNSUPPORTED", "premultiplied alpha"),
    ("separated", "u2", 4, (), "DEPTH", "CMYK, 16 bits"),
]


@pytest.mark.parametrize(("colours", "dtype", "channels", "extra", "code", "what"), REFUSED)
def test_sound_but_unread_kinds_are_refused_with_what_they_are(
    colours: str, dtype: str, channels: int, extra: tuple[int, ...], code: str, what: str
) -> None:
    for order, compression, tile in itertools.product("<>", (None, "zlib"), (None, (16, 16))):
        samples = random_samples(dtype, channels)
        error = refusal(written(samples, colours, extra, byteorder=order, compression=compression, tile=tile))
        assert error.code == code
        assert what in str(error)
        assert "convert it to 8 bits" in str(error) or "save it as 8-bit RGB" in str(error)
        assert "again" not in str(error)


def test_a_hundred_bands_are_unsupported_and_a_sample_format_of_any_type_is_heeded() -> None:
    error = refusal(tiff(4, 4, [bytes(1600)], {258: [8] * 100, 259: [1], 262: [1], 277: [100], 338: [0] * 99}))
    assert error.code == "UNSUPPORTED"
    assert "grey + 99 extra samples (no meaning, no meaning, no meaning, no meaning, ...)" in str(error)
    signed = tiff(4, 4, [bytes(16)], {258: [8], 259: [1], 262: [1], 277: [1], 339: [2]})
    entry = signed.index(struct.pack("<HHI", 339, 3, 1))
    for kind in (3, 6, 8, 9):  # SHORT and the signed types; one of no integer is damage
        other = signed[: entry + 2] + struct.pack("<H", kind) + signed[entry + 4 :]
        assert refusal(other).code == "DEPTH", kind
    floating = signed[: entry + 2] + struct.pack("<H", 11) + signed[entry + 4 :]
    assert "tags cannot be followed" in str(refusal(floating))


def test_a_big_endian_bigtiff_is_unsupported_and_a_little_endian_one_read() -> None:
    samples = random_samples("u1", 3)
    np.testing.assert_array_equal(pixels(written(samples, "rgb", bigtiff=True)), samples)
    error = refusal(written(samples, "rgb", bigtiff=True, byteorder=">"))
    assert error.code == "UNSUPPORTED"
    assert "big-endian BigTIFF" in str(error)
    assert "tiffcp" in str(error)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lerc", "LERC"),
        ("webp", "WebP"),
        ("jpeg2000", "JPEG 2000"),
        ("jpegxl", "JPEG XL"),
        ("jpegxr", "JPEG XR"),
        ("png", "PNG"),
    ],
)
def test_a_compression_that_is_not_read_is_named(file: str, name: str) -> None:
    error = refusal((DATA / f"{file}.tif").read_bytes())
    assert error.code == "UNSUPPORTED"
    assert f"compressed with {name}" in str(error)
    assert "tiffcp" in str(error)


def packed(samples: Samples, bits: int, order: str = "<") -> bytes:
    """Rows of (H, W) with the first sample in the highest bits."""
    if bits == 16:
        return samples.astype(f"{order}u2").tobytes()
    rows = (np.unpackbits(row.astype(">u2").view(np.uint8).reshape(-1, 2), axis=1)[:, 16 - bits :] for row in samples)
    return b"".join(np.packbits(row.reshape(-1)).tobytes() for row in rows)


REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8, 10, 12, 14, 16])
def test_samples_of_any_size_in_any_order_of_bits_are_right_or_refused(bits: int, photometric: int) -> None:
    if photometric == 3 and bits > 8:
        return
    most, random = (1 << bits) - 1, np.random.default_rng(bits)
    samples = random.integers(0, most, (HEIGHT, WIDTH), endpoint=True)
    samples[0, 0] = most
    colours = random.integers(0, 256, (3, most + 1))
    grey = np.repeat(np.round(samples * 255 / most)[..., None], 3, -1)
    expected = {0: 255 - grey, 1: grey, 3: colours.T[np.minimum(samples, most)]}[photometric]
    read = 0
    for order, fill, compressed in itertools.product("<>", (1, 2), (False, True)):
        strips = [packed(samples[top : top + 8], bits, order) for top in range(0, HEIGHT, 8)]
        strips = [zlib.compress(strip) if compressed else strip for strip in strips]
        strips = [strip.translate(REVERSED) if fill == 2 else strip for strip in strips]
        tags = {258: [bits], 259: [8 if compressed else 1], 262: [photometric], 266: [fill], 277: [1], 278: [8]}
        tags |= {320: (colours * 257).reshape(-1).tolist()} if photometric == 3 else {}
        data = tiff(WIDTH, HEIGHT, strips, tags, order=order)
        try:
            assert np.abs(pixels(data) - expected).max() <= 1, (order, fill, compressed)
            read += 1
        except PhotoError as error:
            assert error.code in ("DEPTH", "UNSUPPORTED")
            assert fill == 2 or bits in (6, 10, 12, 14, 16), error
    expected_read = {(12, 1): 2, (16, 0): 2, (16, 1): 6, (8, 0): 6}.get((bits, photometric))
    assert read == (expected_read or (0 if bits in (6, 10, 12, 14) else 6 if (photometric == 3 and bits < 8) else 8))


def test_a_palette_written_with_8_bits_is_not_black() -> None:
    random = np.random.default_rng(4)
    colours, index = random.integers(0, 256, (3, 256)), random.integers(0, 256, (HEIGHT, WIDTH), dtype=np.uint8)
    for scale in (1, 256, 257):
        tags = {258: [8], 259: [1], 262: [3], 277: [1], 320: (colours * scale).reshape(-1).tolist()}
        np.testing.assert_array_equal(pixels(tiff(WIDTH, HEIGHT, [index.tobytes()], tags)), colours.T[index])


RGB = {258: [8, 8, 8], 259: [1], 262: [2], 277: [3], 278: [8]}


def test_missing_strips_are_damage_and_strips_left_out_unsupported() -> None:
    samples = random_samples("u1", 3)
    strips = [samples[top : top + 8].tobytes() for top in range(0, HEIGHT, 8)]
    np.testing.assert_array_equal(pixels(tiff(WIDTH, HEIGHT, strips, RGB)), samples)
    error = refusal(tiff(WIDTH, HEIGHT, strips[:2], RGB))
    assert error.code == "DECODE"
    assert "2 of the 5 strips" in str(error)
    sparse = tiff(WIDTH, HEIGHT, strips, RGB | {273: [8, 0, 8, 0, 8]})
    assert refusal(sparse).code == "UNSUPPORTED"
    assert "sparse" in str(refusal(sparse))


@pytest.mark.parametrize(
    ("photometric", "what"),
    [(4, "transparency mask"), (9, "ICC Lab"), (10, "ITU Lab"), (32845, "CIE Luv"), (999, "code 999")],
)
def test_colours_that_are_not_read_are_named(photometric: int, what: str) -> None:
    error = refusal(tiff(WIDTH, HEIGHT, [random_samples("u1", 3).tobytes()], RGB | {262: [photometric], 278: [HEIGHT]}))
    assert error.code == "UNSUPPORTED"
    assert what in str(error)


@pytest.mark.parametrize("photometric", [32803, 34892])
def test_a_cameras_raw_data_are_named(photometric: int) -> None:
    tags = {258: [14], 259: [1], 262: [photometric], 277: [1]}
    error = refusal(tiff(WIDTH, HEIGHT, [bytes(WIDTH * HEIGHT * 2)], tags))
    assert error.code == "UNSUPPORTED"
    assert "camera raw" in str(error)


def test_inks_that_are_not_cmyk_are_unsupported() -> None:
    tags = {258: [8] * 4, 259: [1], 262: [5], 277: [4], 332: [2]}
    assert "inks" in str(refusal(tiff(WIDTH, HEIGHT, [random_samples("u1", 4).tobytes()], tags)))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_8_and_16_bits(orientation: int) -> None:
    samples = random_samples("u1", 3)
    shown = encoded(samples, "PNG", exif=exif(orientation))
    tags = RGB | {274: [orientation], 278: [HEIGHT]}
    deep = (samples.astype("<u2") * 257).tobytes()
    for data in (
        tiff(WIDTH, HEIGHT, [samples.tobytes()], tags),
        tiff(WIDTH, HEIGHT, [deep], tags | {258: [16] * 3}),
    ):
        np.testing.assert_array_equal(pixels(data), pixels(shown))


def test_two_decoders_that_disagree_about_16_bits_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(random_samples("u2", 3), "rgb")
    assert pixels(data).shape == (HEIGHT, WIDTH, 3)
    read = cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: read(*arguments) ^ (1 << 8))
    error = refusal(data)
    assert error.code == "DEPTH"
    assert "differently" in str(error)


@pytest.mark.parametrize("compression", ["tiff_lzw", "packbits", "tiff_deflate", "zstd", "lzma"])
def test_lossless_compressions_of_libtiff_are_right(compression: str) -> None:
    for picture in (photo(), photo()[..., 0], photo()[..., 0] > 128):
        data = encoded(picture, "TIFF", compression=compression)
        expected = np.asarray(Image.fromarray(picture).convert("RGB"))
        np.testing.assert_array_equal(pixels(data), expected)


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_fax_compressions_are_right(compression: str) -> None:
    bits = photo()[..., 0] > 128
    data = encoded(bits, "TIFF", compression=compression)
    np.testing.assert_array_equal(pixels(data), np.repeat(bits[..., None] * 255, 3, -1))


@pytest.mark.parametrize("compression", [6, 7])
@pytest.mark.parametrize(("subsampling", "code"), [([1, 1], "4:4:4"), ([2, 1], "4:2:2"), ([2, 2], "4:2:0")])
def test_jpeg_in_tiff_is_the_jpeg(compression: int, subsampling: list[int], code: str) -> None:
    rows, columns = np.mgrid[0:48, 0:64]
    smooth = np.stack([rows * 4, columns * 3, 255 - rows - columns], -1).astype(np.uint8)
    jpeg = encoded(smooth, "JPEG", quality=95, subsampling=code)
    tags = {258: [8] * 3, 259: [compression], 262: [6], 277: [3], 278: [48], 530: subsampling}
    tags |= {512: [1], 513: [8], 514: [len(jpeg)]} if compression == 6 else {}
    # libtiff repeats the colours of 2 x 2 pixels, libjpeg blends them
    assert np.abs(pixels(tiff(64, 48, [jpeg], tags)) - pixels(jpeg)).max() <= (1 if subsampling == [1, 1] else 6)


def test_ycbcr_without_compression_is_unsupported_and_with_deflate_right() -> None:
    samples = np.random.default_rng(3).integers(16, 236, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    tags = {258: [8] * 3, 259: [1], 262: [6], 277: [3], 530: [1, 1]}
    assert refusal(tiff(WIDTH, HEIGHT, [samples.tobytes()], tags)).code == "UNSUPPORTED"
    expected = cv2.cvtColor(np.ascontiguousarray(samples[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
    data = tiff(WIDTH, HEIGHT, [zlib.compress(samples.tobytes())], tags | {259: [8]})
    assert np.abs(pixels(data) - expected).max() <= 1


def test_cielab_is_converted() -> None:
    random = np.random.default_rng(3)
    lightness = random.integers(80, 200, (HEIGHT, WIDTH, 1)).astype(np.uint8)
    chroma = random.integers(-10, 10, (HEIGHT, WIDTH, 2)).astype(np.int8)
    stored = np.concatenate([lightness, chroma.view(np.uint8)], -1).tobytes()
    expected = srgb_of_lab(lightness[..., 0] * (100 / 255), *np.moveaxis(chroma.astype(float), -1, 0))
    assert np.abs(pixels(tiff(WIDTH, HEIGHT, [stored], RGB | {262: [8], 278: [HEIGHT]})) - expected).max() <= 2


def srgb_of_lab(lightness: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE 15 with the white D50 of TIFF 6.0, Bradford's adaptation, IEC 61966-2-1."""
    middle = (lightness + 16) / 116
    roots = np.stack([middle + a / 500, middle, middle - b / 200], -1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * [0.96422, 1, 0.82521]
    linear = (
        xyz
        @ np.linalg.inv(
            [[0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733]]
        ).T
    )
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.abs(linear) ** (1 / 2.4) - 0.055)


def test_a_tiff_beyond_pillows_own_limit_is_read_without_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    samples = random_samples("u1", 3)
    for compression in (None, "zlib"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.testing.assert_array_equal(pixels(written(samples, "rgb", compression=compression)), samples)
