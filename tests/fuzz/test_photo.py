"""Files of any content: a photo as it is displayed, or one PhotoError with a code."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms, features

from bmps import bmp
from fuzzing import fuzz
from photos import chunk
from pngs import png_of
from tiffs import tiff
from wordmask.errors import PhotoError
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.kind import HEAD_SIZE, identify
from wordmask.photo.png import read_png
from wordmask.photo.reading import load

MOST_PIXELS = 1 << 18
CODES = {"EMPTY", "FORMAT", "TRUNCATED", "DECODE", "CORRUPT", "TOO_LARGE", "DEPTH", "UNSUPPORTED"}


def samples() -> dict[str, bytes]:
    """Small good files of every kind."""
    rows, columns = np.mgrid[0:24, 0:40]
    picture = Image.fromarray(np.stack([rows * 10, columns * 6, rows * columns % 256], -1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = Image.fromarray((rows * columns * 60).astype(np.uint16))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wanted = {
        "jpeg": (picture, "JPEG", {"exif": exif}),
        "progressive": (picture, "JPEG", {"progressive": True}),
        "restarts": (picture, "JPEG", {"restart_marker_rows": 1}),
        "cmyk": (picture.convert("CMYK"), "JPEG", {}),
        "profile": (picture, "JPEG", {"icc_profile": profile}),
        "png": (picture, "PNG", {"exif": exif, "icc_profile": profile}),
        "palette": (picture.convert("P"), "PNG", {"transparency": 3}),
        "deep": (deep, "PNG", {}),
        "apng": (picture, "PNG", {"save_all": True, "append_images": [picture.rotate(90)]}),
        "webp": (picture, "WEBP", {"exif": exif}),
        "webp-frames": (picture, "WEBP", {"save_all": True, "append_images": [picture.rotate(90)]}),
        "tiff": (picture, "TIFF", {"compression": "tiff_lzw"}),
        "deep-tiff": (deep, "TIFF", {}),
        "bmp": (picture, "BMP", {}),
        "gif": (picture, "GIF", {"save_all": True, "append_images": [picture.rotate(90)]}),
        "ppm": (picture, "PPM", {}),
        **({"avif": (picture, "AVIF", {})} if features.check("avif") else {}),
    }
    files = {}
    for name, (image, kind, options) in wanted.items():
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        files[name] = stream.getvalue()
    return files | made_by_hand(np.asarray(picture))


def made_by_hand(pixels: NDArray[np.uint8]) -> dict[str, bytes]:
    """Kinds that Pillow does not write."""
    height, width = pixels.shape[:2]
    wide = pixels.astype("<u2") * 257
    tags = {258: [16] * 3, 259: [1], 262: [2], 277: [3], 278: [8]}
    strips = [wide[top : top + 8].tobytes() for top in range(0, height, 8)]
    planes = [wide[..., band].tobytes() for band in range(3)]
    grey = pixels[..., :1].astype(int)
    colours = [(value, value, 255 - value) for value in range(256)]
    runs = b"".join(bytes([0, width, *row]) + b"\0\0" for row in pixels[::-1, :, 0].tolist()) + b"\0\1"
    rows = b"".join(row.tobytes() for row in pixels[::-1, :, 0])
    clear = np.dstack([pixels, pixels[..., :1] * 0])[..., [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    return {
        "wide-tiff": tiff(width, height, strips, tags),
        "bigtiff": tiff(width, height, strips, tags, big=True),
        "planar-tiff": tiff(width, height, planes, tags | {278: [height], 284: [2]}, order=">"),
        "keyed-png": png_of(grey * 257, 16, 0, before=[chunk(b"tRNS", b"\x0a\x0a")], interlaced=True),
        "wide-png": png_of(pixels.astype(int) * 257, 16, 2, before=[chunk(b"tEXt", b"Comment\0x")]),
        "palette-bmp": bmp(width, height, 8, rows, palette=colours),
        "runs-bmp": bmp(width, height, 8, runs, compression=1, palette=colours),
        "clear-bmp": bmp(width, height, 32, clear, header=124, compression=3, masks=masks),
    }


SAMPLES = samples()
EXTREMES = [b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xd9"]


@st.composite
def damaged(draw: st.DrawFn, kinds: tuple[str, ...] = tuple(SAMPLES)) -> bytes:
    """A good file with a few places changed, most of them near its beginning, where the headers are."""
    data = SAMPLES[draw(st.sampled_from(kinds))]
    for _ in range(draw(st.integers(1, 4))):
        last = min(len(data), draw(st.sampled_from([64, 256, len(data)])))
        start = draw(st.integers(0, last))
        patch = draw(st.sampled_from(EXTREMES) | st.binary(max_size=8))
        length = draw(st.sampled_from([len(patch), 0, 16, 300, len(data)]))
        data = data[:start] + patch + data[start + length :]
    return data


@fuzz(damaged() | st.binary(), examples=300)
def test_a_file_is_a_photo_or_one_error_with_a_code(data: bytes, folder: Path) -> None:
    (folder / "photo.jpg").write_bytes(data)
    for lenient, color_profile in ((False, "ignore"), (True, "srgb")):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, of damaged metadata
                options = {"max_pixels": MOST_PIXELS, "lenient": lenient, "color_profile": color_profile}
                pixels = load(folder / "photo.jpg", **options).pixels
        except PhotoError as error:
            assert error.code in CODES, (error.code, str(error))
            assert str(error).isprintable()
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert 0 < pixels.shape[0] * pixels.shape[1] <= MOST_PIXELS


@fuzz(damaged() | st.binary(), examples=200)
def test_the_kind_of_any_bytes_is_known_or_refused(data: bytes, folder: Path) -> None:
    try:
        identify(data[:HEAD_SIZE])
    except PhotoError as error:
        assert error.code in {"EMPTY", "FORMAT", "UNSUPPORTED"}


JPEG = SAMPLES["jpeg"]
NO_CODE_AFTER_A_HEADER_THAT_ENDS_WITH_FF = JPEG[: read_layout(JPEG).scans[0].start - 1] + b"\xff\xff\xd9"


@fuzz(
    damaged(("jpeg", "progressive", "restarts", "cmyk")),
    examples=200,
    known=[NO_CODE_AFTER_A_HEADER_THAT_ENDS_WITH_FF],
)
def test_the_markers_of_any_jpeg_are_followed_or_refused(data: bytes, folder: Path) -> None:
    try:
        layout = read_layout(data)
    except PhotoError as error:
        assert error.code in {"DECODE", "TRUNCATED"}
        return
    assert all(0 < scan.header < scan.start <= scan.end <= layout.end <= len(data) for scan in layout.scans)


@fuzz(damaged(("png", "palette", "deep", "apng", "keyed-png", "wide-png")), examples=200)
def test_the_chunks_of_any_png_are_sound_or_refused(data: bytes, folder: Path) -> None:
    try:
        read_png(data)
    except PhotoError as error:
        assert error.code in {"DECODE", "UNSUPPORTED"}
