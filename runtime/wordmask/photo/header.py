"""Opens an image without decoding it and checks the size that its header claims.

Pillow's classes are called directly instead of Image.open: only the formats below can be reached, and the limit on
pixels is ours, whatever the host program set Image.MAX_IMAGE_PIXELS to.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from wordmask.errors import PhotoError
from wordmask.photo.kind import PNG_SIGNATURE, unsupported


def open_header(file: IO[bytes], kind: str, max_pixels: int) -> ImageFile.ImageFile:
    """Opens an image lazily: its header is read and its size checked, no pixel is decoded or allocated.

    Args:
        file: the image from its first byte on, seekable.
        kind: the result of `identify`.
        max_pixels: most pixels allowed.

    Raises:
        PhotoError: TOO_LARGE, DECODE (an image without area), UNSUPPORTED (a camera's raw file).
        Exception: whatever Pillow finds wrong with the header.
    """
    if kind == "WEBP":  # Pillow allocates the canvas as soon as it opens one
        check_size(*_webp_size(file.read(30)), max_pixels)
        file.seek(0)
    openers: dict[str, Callable[[IO[bytes]], ImageFile.ImageFile]] = {
        "JPEG": JpegImagePlugin.JpegImageFile,
        "PNG": PngImagePlugin.PngImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "PPM": PpmImagePlugin.PpmImageFile,
        "AVIF": _open_avif,
    }
    image = openers[kind](file)
    check_size(*image.size, max_pixels)
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_camera_raw(image):
        raise unsupported("camera raw")
    return image


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises PhotoError TOO_LARGE or, for an image without area, DECODE."""
    if width < 1 or height < 1:
        raise PhotoError("DECODE", f"the header says {width}x{height} pixels: the file is damaged, copy it again")
    if width * height > max_pixels:
        found = f"the header says {width}x{height} pixels ({width * height / 1e6:.0f} megapixels)"
        raise PhotoError(
            "TOO_LARGE", f"{found}, at most {max_pixels / 1e6:.0f} are allowed: shrink it, or raise max_pixels"
        )


def _open_avif(file: IO[bytes]) -> ImageFile.ImageFile:
    from PIL import AvifImagePlugin  # noqa: PLC0415  (Pillow before 11.3 has none)

    return AvifImagePlugin.AvifImageFile(file)


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


def _is_camera_raw(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Raw files of many cameras are TIFFs whose first page is a preview (NewSubfileType, DNGVersion)."""
    reduced, dng_version = image.tag_v2.get(254, 0), image.tag_v2.get(50706)
    return dng_version is not None or (isinstance(reduced, int) and bool(reduced & 1))


def check_png(data: bytes) -> None:
    """Checks a PNG's chunks up to IEND against their lengths and checksums, which Pillow does not do for the pixels.

    Ancillary chunks (text, profiles) may be damaged; what follows IEND is ignored.

    Raises:
        PhotoError: DECODE.
    """
    position, name = len(PNG_SIGNATURE), b""
    while name != b"IEND":
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise PhotoError("DECODE", f"the PNG ends inside its chunk {name!r} (byte {len(data)}): copy it again")
        critical = not name[:1].islower()
        if critical and zlib.crc32(data[position + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise PhotoError("DECODE", f"the PNG's chunk {name!r} at byte {position} is damaged: copy it again")
        position = end
