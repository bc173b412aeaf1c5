"""A JPEG without its end marker is taken if all of its data are there, and TRUNCATED if any are missing."""

from __future__ import annotations

import numpy as np
import pytest

from photos import JPEG_VARIANTS, encoded, photo
from wordmask.errors import PhotoError
from wordmask.photo.jpeg_markers import read_layout
from wordmask.photo.options import DEFAULTS, ReadOptions
from wordmask.photo.reading import load_bytes

NOTE = ("the JPEG has no end marker, but all of its data",)
# One scan or several, but not restart markers in several, where it cannot be told what is missing.
DECIDED = [variant for variant in JPEG_VARIANTS if not (variant.get("progressive") and len(variant) > 1)]
LENIENT = ReadOptions(lenient=True)


def code_of(data: bytes, options: ReadOptions = DEFAULTS) -> str:
    with pytest.raises(PhotoError) as caught:
        load_bytes(data, "photo.jpg", options)
    return caught.value.code


@pytest.mark.parametrize("size", [(90, 120), (17, 33), (64, 64), (1, 1)])
@pytest.mark.parametrize("variant", [*DECIDED, {"quality": 20}, {"quality": 100, "progressive": True}])
def test_the_pixels_are_those_of_the_whole_file_or_it_is_truncated(
    variant: dict[str, object], size: tuple[int, int]
) -> None:
    data = encoded(photo(*size), "JPEG", **variant)
    whole = load_bytes(data, "photo.jpg").pixels
    for missing in (1, 2):
        for options in (ReadOptions(), LENIENT):
            result = load_bytes(data[:-missing], "photo.jpg", options)
            np.testing.assert_array_equal(result.pixels, whole)
            assert result.notes == NOTE
    for missing in range(3, min(14, len(data) - read_layout(data).scans[0].start)):
        try:
            result = load_bytes(data[:-missing], "photo.jpg")
        except PhotoError as error:
            assert error.code == "TRUNCATED"
        else:  # no bit of what is missing shows
            np.testing.assert_array_equal(result.pixels, whole)


@pytest.mark.parametrize("variant", [variant for variant in DECIDED if not variant.get("progressive")])
def test_a_jpeg_of_one_scan_that_lacks_one_byte_of_its_data_is_truncated(variant: dict[str, object]) -> None:
    data = encoded(photo(), "JPEG", **variant)
    for options in (ReadOptions(), LENIENT):
        assert code_of(data[:-3], options) == "TRUNCATED"


def test_what_a_copy_that_stopped_leaves_behind_the_data_is_truncated() -> None:
    for variant in JPEG_VARIANTS:
        data = encoded(photo(), "JPEG", **variant)
        start = read_layout(data).scans[0].start
        for end in ((start + len(data)) // 2, len(data) - 40, len(data) - 3):
            for filler in (b"\0", b"\xff"):
                assert code_of(data[:end] + filler * 300) == "TRUNCATED", (variant, end, filler)


def test_restart_markers_in_several_scans_leave_it_truncated() -> None:
    data = encoded(photo(), "JPEG", progressive=True, restart_marker_rows=1)
    assert code_of(data[:-2]) == "TRUNCATED"


def test_arithmetic_coding_without_an_end_is_truncated() -> None:
    data = encoded(photo(), "JPEG").replace(b"\xff\xc0", b"\xff\xc9", 1)
    assert code_of(data[:-2]) == "TRUNCATED"
