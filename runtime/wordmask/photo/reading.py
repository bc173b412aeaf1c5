"""Reads photos: any common file in, RGB as displayed out, or one PhotoError that says what is wrong.

A cut or garbled photo must not become a confident mask, so that everything is checked that a format lets one check:
header says what a file is, tiff and png what of it is read, jpeg finds damage that libjpeg hides, depth brings all
colours to 8 bits. jpeg_fast is quicker with JPEGs that are whole, where what it needs is installed.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.backends.memory import is_out_of_memory
from wordmask.errors import PhotoError
from wordmask.photo.bmp import read_palette_bmp
from wordmask.photo.depth import to_rgb
from wordmask.photo.header import open_header
from wordmask.photo.jpeg import decode_jpeg
from wordmask.photo.jpeg_fast import decode_whole_jpeg
from wordmask.photo.kind import HEAD_SIZE, identify
from wordmask.photo.options import DEFAULTS, MAX_PIXELS, ColorProfile, ReadOptions
from wordmask.photo.png import read_png

Pixels = NDArray[np.uint8]

_ORIENTATION = 0x0112
# EXIF 2.32, tag 0x0112: what turns the stored image into the displayed one.
_TURNS: dict[int, Callable[[Pixels], cv2.typing.MatLike]] = {
    2: lambda stored: cv2.flip(stored, 1),
    3: lambda stored: cv2.rotate(stored, cv2.ROTATE_180),
    4: lambda stored: cv2.flip(stored, 0),
    5: cv2.transpose,
    6: lambda stored: cv2.rotate(stored, cv2.ROTATE_90_CLOCKWISE),
    7: lambda stored: cv2.rotate(cv2.transpose(stored), cv2.ROTATE_180),
    8: lambda stored: cv2.rotate(stored, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
_NO_FILES = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: u8 (H, W, 3), RGB in displayed orientation, C-contiguous and read-only.
        notes: what the user should know: only the first of several images is used, damage that was accepted.
    """

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def decode(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    lenient: bool = False,
    color_profile: ColorProfile = "ignore",
) -> NDArray[np.uint8]:
    """The pixels of `load`, u8 (H, W, 3), for callers that show no notes; arguments and errors are those of `load`."""
    return load(path, max_pixels=max_pixels, lenient=lenient, color_profile=color_profile).pixels


def load(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    lenient: bool = False,
    color_profile: ColorProfile = "ignore",
) -> Photo:
    """Reads a photo of any supported kind: JPEG, PNG, WebP, TIFF, BMP, GIF, PPM and, where Pillow has it, AVIF.

    The kind is known by the content, not by the name. EXIF orientation is applied, an invalid one ignored. Grey,
    palette and CMYK become RGB, transparency is laid over white, 16 bits are scaled to 8. Of an animation or of several
    pages the first is taken. Bytes after the image are ignored.

    Damage is found as far as a format allows. PNG: any that could change a pixel, by its checksums. JPEG: cut files
    always, garbled data as far as they break the code (see wordmask.photo.jpeg). Other kinds: cut files, and what their
    decoders refuse.

    Args:
        path: the file.
        max_pixels: most pixels allowed; decided from the header, before memory is taken.
        lenient: take a JPEG with garbled data as far as it can be decoded, and say so in the notes. Cut files are still
            refused.
        color_profile: "ignore" takes the numbers as they are, as the loaders of CLIP and SAM2 do; "srgb" converts them
            where the photo has a colour profile. One that cannot be used is noted and ignored.

    Raises:
        PhotoError: EMPTY, FORMAT, TRUNCATED, DECODE, CORRUPT, TOO_LARGE, DEPTH, UNSUPPORTED, IO or OOM.
        ValueError: an argument is out of range.
    """
    return load_file(path, ReadOptions(lenient, max_pixels, color_profile))


def load_file(path: str | Path, options: ReadOptions) -> Photo:
    """`load` with its options as one value."""
    with _photo_errors(repr(str(path))):
        data, kind = _read(path, options.max_pixels)
        return _decode(data, kind, options)


def is_turned(path: str | Path, *, max_pixels: int = MAX_PIXELS) -> bool:
    """Whether a photo is displayed turned or mirrored: readers that ignore EXIF have other pixels than `load`.

    Raises:
        PhotoError: as `load` does.
    """
    with _photo_errors(repr(str(path))):
        data, kind = _read(path, max_pixels)
        image = open_header(io.BytesIO(data), kind, max_pixels)
        if kind == "PNG":
            image.load()  # what turns it may stand after the pixels
        return _orientation(image) in _TURNS


def load_bytes(data: bytes, name: str, options: ReadOptions = DEFAULTS) -> Photo:
    """Reads a photo from the content of its file.

    Args:
        data: the file's bytes.
        name: of the photo, for messages.
        options: as for `load`.

    Raises:
        PhotoError: as `load` does, but for IO.
    """
    with _photo_errors(repr(name)):
        return _decode(data, identify(data[:HEAD_SIZE]), options)


def load_image(image: Image.Image, name: str = "the image") -> Photo:
    """The pixels of a Pillow image as those of a file: EXIF orientation applied, transparency over white, 8 bits.

    Args:
        image: of any mode; it stays as it is.
        name: of the photo, for messages.

    Raises:
        PhotoError: as `load` does, but for IO.
    """
    with _photo_errors(repr(name)):
        plain = image.copy()  # loads it, and leaves behind what only a file's decoder needs
        rgb, notes = to_rgb(plain, b"")
        return Photo(check_rgb(_turned(np.asarray(rgb), image)), notes)


def most_bytes(max_pixels: int = MAX_PIXELS) -> int:
    """More than a file with a photo of this size can have."""
    return 8 * max_pixels + (1 << 28)


@contextlib.contextmanager
def _photo_errors(name: str) -> Iterator[None]:
    """Turns whatever is raised inside into a PhotoError that names the photo."""
    try:
        yield
    except PhotoError as error:
        raise PhotoError(error.code, f"{name}: {error}") from error
    except Image.DecompressionBombError as error:
        raise PhotoError("TOO_LARGE", f"{name}: {error}") from error
    except Exception as error:  # decoders raise what they like at damaged files
        if is_out_of_memory(error):
            raise PhotoError("OOM", f"{name}: there is not enough memory to decode it") from error
        found = f"it cannot be decoded ({type(error).__name__}: {error})"
        raise PhotoError("DECODE", f"{name}: {found}: copy or download it again") from error


def _read(path: str | Path, max_pixels: int) -> tuple[bytes, str]:
    """All bytes of a regular file and its kind. Its header is checked first, so that nothing huge is read."""
    try:
        _check_regular(Path(path).stat())  # before opening it: a pipe would block, a device may act
        with open(path, "rb", opener=_open_without_waiting) as file:
            before = os.fstat(file.fileno())
            _check_regular(before)
            kind = identify(file.read(HEAD_SIZE))
            _check_header(file, kind, max_pixels)
            if before.st_size > most_bytes(max_pixels):
                raise PhotoError("TOO_LARGE", f"the file has {before.st_size} bytes, more than any allowed photo needs")
            file.seek(0)
            data = file.read()
            after = os.fstat(file.fileno())
    except (OSError, ValueError) as error:
        if isinstance(error, PhotoError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise PhotoError("IO", f"it cannot be read ({reason}): check the path and its permissions") from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(data) != after.st_size:
        raise PhotoError("IO", "it changed while it was read: try again when it is complete")
    return data, kind


def _open_without_waiting(path: str, flags: int) -> int:
    # Should a pipe have taken the file's place since it was looked at, opening it must not block.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        what = next((name for is_kind, name in _NO_FILES if is_kind(status.st_mode)), "no regular file")
        raise PhotoError("IO", f"it is {what}, expected a photo")


def _check_header(file: BinaryIO, kind: str, max_pixels: int) -> None:
    file.seek(0)
    try:
        open_header(file, kind, max_pixels)
    except PhotoError:
        raise
    except Exception:
        return  # the same header is read again from memory, where the failure gets its code


def _decode(data: bytes, kind: str, options: ReadOptions) -> Photo:
    if kind == "JPEG":
        return _decode_jpeg(data, options)
    png = read_png(data) if kind == "PNG" else None
    data = data if png is None else png.data
    image = open_header(io.BytesIO(data), kind, options.max_pixels)
    several = getattr(image, "is_animated", False) if png is None else png.several
    notes = ("only the first of several images is used",) if several else ()
    stored: Image.Image | None = read_palette_bmp(data) if kind == "BMP" else None
    if stored is None:
        stored = image
        stored.load()
    profile = image.info.get("icc_profile") if png is None else png.profile
    rgb, more = to_rgb(stored, data, png, profile if options.color_profile == "srgb" else None)
    return Photo(_turned(np.asarray(rgb), image), notes + more)


def _decode_jpeg(data: bytes, options: ReadOptions) -> Photo:
    with_profile = options.color_profile == "srgb" and b"ICC_PROFILE\0" in data
    whole = None if with_profile else decode_whole_jpeg(data, options.max_pixels)
    if whole is not None:
        return Photo(_turned(*whole))
    image, damage, note = decode_jpeg(data, options.max_pixels)
    if damage is not None and not options.lenient:
        raise PhotoError("CORRUPT", f"the JPEG is damaged ({damage}): copy it again, or accept it with --lenient")
    notes = () if damage is None else (f"damaged JPEG accepted: {damage}",)
    rgb, more = to_rgb(image, data, profile=image.info.get("icc_profile") if with_profile else None)
    return Photo(_turned(np.asarray(rgb), image), (*notes, *([note] if note else []), *more))


def _turned(stored: Pixels, image: Image.Image) -> Pixels:
    """Pixels as displayed, read-only. image: whose metadata say how."""
    turn = _TURNS.get(_orientation(image))
    displayed = stored if turn is None else np.asarray(turn(stored), np.uint8)
    displayed.flags.writeable = False
    return displayed


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none or it cannot be read. Pillow has applied the one of a loaded TIFF."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken metadata are no reason to refuse a photo
        return 1
    return value if isinstance(value, int) else 1


def check_rgb(array: object) -> NDArray[np.uint8]:
    """Checks pixels that a caller brings instead of a file.

    Args:
        array: u8 (H, W, 3), RGB in displayed orientation.

    Returns:
        The same pixels, C-contiguous (copied only if they were not).

    Raises:
        ValueError: it is anything else.
    """
    if not isinstance(array, np.ndarray):
        advice = "np.asarray(image.convert('RGB')) makes one of a Pillow image, wordmask.photo.decode of a file"
        raise ValueError(f"the image is a {type(array).__name__}, expected a numpy array (H, W, 3): {advice}")
    if array.ndim != 3 or array.shape[2] != 3:
        hint = (
            "grey: np.stack([image] * 3, axis=-1); with alpha: image[..., :3]; channels first: image.transpose(1, 2, 0)"
        )
        raise ValueError(f"the image has the shape {array.shape}, expected (H, W, 3) in RGB order ({hint})")
    if array.dtype != np.uint8:
        hint = "floats from 0 to 1: (image * 255).round().astype(np.uint8)"
        raise ValueError(f"the image's dtype is {array.dtype}, expected uint8 from 0 to 255 ({hint})")
    if array.size == 0:
        raise ValueError(
            f"the image has the shape {array.shape}, expected at least one pixel: check where it was cut out"
        )
    return np.ascontiguousarray(array)
