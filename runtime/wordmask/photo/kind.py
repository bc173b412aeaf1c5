"""Says what kind of file something is, by its first bytes and never by its name."""

from __future__ import annotations

from PIL import features as pillow_features

from wordmask.errors import PhotoError

HEAD_SIZE = 1024
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG2000 = "JPEG 2000"

_READABLE: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (PNG_SIGNATURE, "PNG"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    *((b"P%d" % number, "PPM") for number in range(1, 7)),
)
_UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", _JPEG2000),
    (b"\xff\x4f\xff\x51", _JPEG2000),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"\0\0\x01\0", "icon"),
    (b"\0\0\x02\0", "cursor"),
    (b"v/1\x01", "OpenEXR"),
    (b"\x93NUMPY", "numpy array"),
    (b"P7\n", "PAM"),
    *((magic, "floating-point PFM") for magic in (b"PF\n", b"Pf\n")),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"II\xbc", "JPEG XR"),
    (b"qoif", "QOI"),
    (b"DDS ", "DirectDraw surface"),
    (b"farbfeld", "farbfeld"),
    (b"gimp xcf", "GIMP picture"),
    (b"AT&TFORM", "DjVu"),
    (b"SIMPLE  =", "FITS"),
    (b"\xd7\xcd\xc6\x9a", "Windows metafile"),
    (b"%!PS", "PostScript"),
    *((magic, "camera raw") for magic in (b"IIU\0", b"IIRO", b"IIRS", b"MMOR", b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM")),
)
_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"crx ": "camera raw", b"qt  ": "video"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"
)
_BRANDS |= dict.fromkeys((b"isom", b"iso2", b"mp41", b"mp42", b"M4V ", b"3gp4", b"3gp5"), "video")
_PHOTO_FORMATS = "expected a JPEG, PNG, WebP, TIFF, BMP, GIF, PPM or AVIF photo"


def identify(head: bytes) -> str:
    """Name of the format by the first HEAD_SIZE bytes (or all, if there are fewer).

    Returns:
        JPEG, PNG, WEBP, BMP, TIFF, GIF, PPM or AVIF.

    Raises:
        PhotoError: EMPTY, FORMAT (no image) or UNSUPPORTED (an image this program does not read).
    """
    if not head:
        raise PhotoError("EMPTY", f"the file has 0 bytes, {_PHOTO_FORMATS}: copy or download it again")
    for magic, name in _READABLE:
        if head.startswith(magic):
            return _checked_tiff(head) if name == "TIFF" else name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    brand = _brand(head)
    if brand == "AVIF" and pillow_features.check("avif"):
        return brand
    known = brand or next((name for magic, name in _UNSUPPORTED if head.startswith(magic)), None)
    if known is None and b"<svg" in head:
        known = "SVG"
    if known is not None:
        raise unsupported(known)
    raise PhotoError("FORMAT", f"{_what_it_is(head)}, {_PHOTO_FORMATS}")


def _brand(head: bytes) -> str | None:
    """Format of an ISO media file: its major brand, else the first compatible one that is known."""
    if head[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, end, 4))]
    # "mif1" only says that some still image is inside: a more specific brand wins.
    names = [
        _BRANDS[brand] for brand in sorted(brands, key=lambda brand: brand in (b"mif1", b"msf1")) if brand in _BRANDS
    ]
    return names[0] if names else None


def _checked_tiff(head: bytes) -> str:
    if head[8:10] == b"CR":
        raise unsupported("camera raw")
    return "TIFF"


def unsupported(name: str) -> PhotoError:
    """The error for an image of a kind that is not read, with a way to convert it."""
    hints = {
        "AVIF": "this Pillow was built without AVIF: install Pillow 11.3 or newer",
        "HEIC": "convert it to JPEG or PNG first, for example with 'heif-convert in.heic out.jpg'",
        "JPEG XL": "convert it to PNG first, for example with 'djxl in.jxl out.png'",
        "SVG": "it is a drawing without pixels: render it to PNG first",
        "camera raw": "develop it to TIFF or JPEG first",
        "video": "save one of its pictures first, for example with 'ffmpeg -i in.mp4 -frames:v 1 out.png'",
        "lossless JPEG": "save it as PNG first",
    }
    hint = hints.get(name, "convert it to JPEG or PNG first")
    return PhotoError("UNSUPPORTED", f"the file is of the kind {name}, which is not read: {hint}")


def _what_it_is(head: bytes) -> str:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(b"version https://git-lfs"):
        return "the file is a Git LFS pointer, not the photo itself (run 'git lfs pull')"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml", b"<head")):
        return "the file is a web page, not an image (the download failed)"
    return f"the file begins with {head[:12]!r}, which no known image does"
