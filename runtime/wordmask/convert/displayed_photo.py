"""Photos written anew as they are displayed, for readers that do not turn them or do not read their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from PIL import Image

from wordmask.errors import ConversionError, PhotoError
from wordmask.formats.pictures import encode, png
from wordmask.photo.reading import is_turned, load

_LARGEST_JPEG = 65500  # pixels of a side, in libjpeg


def is_displayed_turned(source: Path, size: tuple[int, int]) -> bool:
    """Whether metadata turn or mirror the photo; size is its (height, width).

    Raises:
        ConversionError: it cannot be read.
    """
    try:
        return is_turned(source, max_pixels=size[0] * size[1])  # the run has read it
    except PhotoError as error:
        raise ConversionError(str(error)) from error


def write_as_displayed(source: Path, place: Path, kind: Literal["PNG", "JPEG"], size: tuple[int, int]) -> None:
    """Decodes the photo and writes it as PNG, exact, or as JPEG of the quality 95.

    Raises:
        ConversionError: it cannot be read, or is larger than a JPEG can be.
    """
    try:
        pixels = load(source, lenient=True, max_pixels=size[0] * size[1]).pixels  # the run has read it
    except PhotoError as error:
        raise ConversionError(str(error)) from error
    if kind == "PNG":
        place.write_bytes(png(pixels))
        return
    if max(pixels.shape) > _LARGEST_JPEG:
        found = f"{str(source)!r} is {pixels.shape[1]}x{pixels.shape[0]} pixels"
        raise ConversionError(f"{found}, more than a JPEG can have: give --photos none")
    place.write_bytes(encode(Image.fromarray(pixels), "JPEG", quality=95, subsampling=0))
