"""Cut and garbled photos are refused: never masks of half a photo."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from photos import JPEG_VARIANTS, encoded, photo, refused
from wordmask.errors import PhotoError
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.reading import decode, load


@pytest.mark.parametrize("options", JPEG_VARIANTS)
@pytest.mark.parametrize("lenient", [False, True])
def test_jpeg_cut_anywhere_in_its_data_is_truncated(
    write: Callable[..., Path], options: dict[str, object], lenient: bool
) -> None:
    data = encoded(photo(), "JPEG", exif=thumbnail_exif(), **options)
    first = read_layout(data).scans[0].start
    for end in [first, (first + len(data)) // 2, *range(len(data) - 24, len(data) - 2), *range(first, len(data), 997)]:
        assert refused(write(data[:end]), lenient=lenient).code == "TRUNCATED", end


def thumbnail_exif() -> bytes:
    """EXIF with a whole JPEG in it, whose end marker is not that of the photo."""
    return b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + encoded(photo(16, 16), "JPEG")


def test_jpeg_cut_where_a_scan_ends_is_truncated(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "JPEG", progressive=True)
    for scan in read_layout(data).scans[:-1]:
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


def test_jpeg_of_endless_scans_is_refused_before_it_is_decoded(write: Callable[..., Path]) -> None:
    data = encoded(np.full((90, 120, 3), 99, np.uint8), "JPEG", progressive=True)
    last = read_layout(data).scans[-1]
    scan = data[last.header : last.end]
    assert decode(write(data[: last.end] + 50 * scan + b"\xff\xd9")).shape == (90, 120, 3)
    started = time.perf_counter()
    assert "more than 100 scans" in str(refused(write(data[: last.end] + 100_000 * scan + b"\xff\xd9")))
    assert time.perf_counter() - started < 2  # decoding would take minutes


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
