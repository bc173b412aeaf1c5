"""Opens an image without decoding it and checks the size that its header claims.

Pillow's classes are called directly instead of Image.open: only the formats below can be reached, and the limit on
pixels is ours, whatever the host program set Image.MAX_IMAGE_PIXELS to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    WebPImagePlugin,
)

from wordmask.errors import PhotoError
from wordmask.photo.tiff import open_tiff

TOO_LARGE_ADVICE = "shrink it, or allow more: --max-pixels N on the command line, max_pixels=N in Python"


def open_header(file: IO[bytes], kind: str, max_pixels: int) -> ImageFile.ImageFile:
    """Opens an image lazily: its header is read and its size checked, no pixel is decoded or allocated.

    Args:
        file: the image from its first byte on, seekable.
        kind: the result of `identify`.
        max_pixels: most pixels allowed.

    Raises:
        PhotoError: TOO_LARGE, DECODE (an image without area), UNSUPPORTED or DEPTH (a kind of TIFF or BMP that is not
            read).
        Exception: whatever Pillow finds wrong with the header.
    """
    if kind == "PNG":  # Pillow may refuse what stands before the pixels
        check_size(*_png_size(file.read(24)), max_pixels)
        file.seek(0)
    if kind == "WEBP":  # Pillow allocates the canvas as soon as it opens one
        check_size(*_webp_size(file.read(30)), max_pixels)
        file.seek(0)
    openers: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "BMP": _open_bmp,
        "TIFF": open_tiff,
        "GIF": GifImagePlugin.GifImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
        "AVIF": _open_avif,
    }
    image = openers[kind](file)
    check_size(*image.size, max_pixels)
    return image


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises PhotoError TOO_LARGE or, for an image without area, DECODE."""
    if width < 1 or height < 1:
        raise PhotoError("DECODE", f"the header says {width}x{height} pixels: the file is damaged, copy it again")
    if width * height > max_pixels:
        found = f"the header says {width}x{height} pixels ({width * height / 1e6:.0f} megapixels)"
        raise PhotoError("TOO_LARGE", f"{found}, at most {max_pixels / 1e6:g} are allowed: {TOO_LARGE_ADVICE}")


def _open_avif(file: IO[bytes]) -> ImageFile.ImageFile:
    from PIL import AvifImagePlugin  # noqa: PLC0415  (Pillow before 11.3 has none)

    return AvifImagePlugin.AvifImageFile(file)


def _open_bmp(file: IO[bytes]) -> ImageFile.ImageFile:
    try:
        return BmpImagePlugin.BmpImageFile(file)
    except OSError as error:
        if not str(error).startswith("Unsupported BMP"):
            raise
        found = str(error).removeprefix("Unsupported BMP ")
        raise PhotoError("UNSUPPORTED", f"the BMP has a {found} that is not read: save it as PNG") from error


def _png_size(head: bytes) -> tuple[int, int]:
    """Width and height; 1x1 where the header is not where it must be, which is found out later."""
    if head[12:16] != b"IHDR" or len(head) < 24:
        return 1, 1
    return int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height of the canvas; (0, 0) where the header is cut or unknown (RFC 9649, section 2)."""
    chunk = head[12:16]
    if len(head) < 30:
        return 0, 0
    if chunk == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 ":
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    return 0, 0
