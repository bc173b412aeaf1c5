"""Photos come out as they are displayed, whatever their EXIF orientation."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from photos import Pixels, encoded, exif, photo
from wordmask.errors import PhotoError
from wordmask.photo.reading import decode, is_turned


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_photos_that_are_displayed_as_they_are_stored_are_told_from_others(
    write: Callable[..., Path], kind: str
) -> None:
    turned = [is_turned(write(encoded(photo(), kind, exif=exif(value)))) for value in range(10)]
    assert turned == [False, False, *[True] * 7, False]
    assert not is_turned(write(encoded(photo(), kind)))


def test_orientation_behind_a_pngs_pixels_counts(write: Callable[..., Path]) -> None:
    data = encoded(photo(), "PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[start : start + 4], "big")
    end = data.index(b"IEND") - 4
    path = write(data[:start] + data[start + length : end] + data[start : start + length] + data[end:])
    np.testing.assert_array_equal(decode(path), oriented(photo(), 6))
    assert is_turned(path)


def test_whether_a_damaged_photo_is_turned_is_a_photo_error(write: Callable[..., Path]) -> None:
    with pytest.raises(PhotoError):
        is_turned(write(encoded(photo(), "PNG")[:200]))
