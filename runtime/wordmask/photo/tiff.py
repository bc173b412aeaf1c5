"""Decides by its tags whether a TIFF can be read, before a decoder sees it.

The decoders take some kinds for others and give wrong pixels without an error: signed samples, planes of 16 bits, inks
that are not CMYK, strips that are not there. So only what is listed here is read, and each of it is compared with a
second decoder in the tests.
"""

from __future__ import annotations

from typing import IO

from PIL import Image, ImagePalette, TiffImagePlugin

from wordmask.errors import PhotoError
from wordmask.photo.kind import unsupported
from wordmask.photo.tiff_tags import TiffTags, read_tags

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_PHOTOMETRICS = {
    0: "grey (0 is white)",
    1: "grey",
    2: "RGB",
    3: "palette",
    4: "a transparency mask",
    5: "CMYK",
    6: "YCbCr",
    8: "CIELab",
    9: "ICC Lab",
    10: "ITU Lab",
    32844: "CIE L",
    32845: "CIE Luv",
}
_COLOURS = {_RGB: 3, _CMYK: 4, _YCBCR: 3, _LAB: 3}  # samples of a pixel; one in all others
_EXTRA_NAMES = {0: "no meaning", 1: "premultiplied alpha", 2: "alpha"}
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point", 4: "untyped", 5: "complex", 6: "complex floating-point"}
_COLOUR_MAP = 320
_MOST_NAMES = 4
_NONE, _OLD_JPEG = 1, 6
# CCITT, LZW, JPEG, deflate, PackBits, LZMA, Zstandard; OpenCV, which reads RGB of 16 bits, lacks the last two.
_COMPRESSIONS = frozenset({_NONE, 2, 3, 4, 5, _OLD_JPEG, 7, 8, 32773, 32946, 34925, 50000})
_NOT_IN_OPENCV = frozenset({34925, 50000})
_COMPRESSION_NAMES = {
    22610: "JPEG XR",
    32771: "CCITT with padding",
    32809: "ThunderScan",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    34676: "SGILog",
    34677: "SGILog24",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
# Extra samples that are read behind colours of so many bits; none behind all others.
_EXTRAS: dict[tuple[int, int], frozenset[tuple[int, ...]]] = {
    (_BLACK_IS_ZERO, 8): frozenset({(), (2,)}),
    (_RGB, 8): frozenset({(), (0,), (1,), (2,), (999,)} | {(n, *zeros) for n in range(3) for zeros in ((0,), (0, 0))}),
    (_RGB, 16): frozenset({(), (0,), (2,)}),
    (_PALETTE, 8): frozenset({(), (0,), (2,)}),
    (_CMYK, 8): frozenset({(), (0,), (0, 0)}),
}
_GREY_BITS, _PALETTE_BITS = frozenset({1, 2, 4, 8, 16}), frozenset({1, 2, 4, 8})
_TO_8_BITS = "convert it to 8 bits a sample, for example with 'gdal_translate -ot Byte -scale in.tif out.tif'"
_TO_RGB = "save it as 8-bit RGB"
_WITH_LIBTIFF = "convert it, for example with 'tiffcp -c lzw in.tif out.tif'"


class _Tiff(TiffImagePlugin.TiffImageFile):
    """Pillow's reader without its own limit on pixels, which counts however many the caller allows."""

    def load_prepare(self) -> None:
        if getattr(self, "_im", None) is None:
            self.im = Image.new(self.mode, getattr(self, "_tile_size", self.size)).im
        super().load_prepare()


def open_tiff(file: IO[bytes]) -> TiffImagePlugin.TiffImageFile:
    """Opens a TIFF lazily, if it is of a kind that is read.

    Raises:
        PhotoError: as `check_tiff` does.
        Exception: whatever Pillow finds wrong with it.
    """
    check_tiff(file)
    file.seek(0)
    try:
        image = _Tiff(file)
    except SyntaxError as error:  # older versions know fewer kinds
        if "unknown pixel mode" not in str(error):
            raise
        raise _unsupported(
            "has a kind of pixels that this Pillow does not know", f"{_TO_RGB}, or upgrade Pillow"
        ) from error
    colours = image.tag_v2.get(_COLOUR_MAP)
    if colours and max(colours) < 256 and image.mode in ("P", "PA"):  # of 8 bits, which libtiff takes as they are too
        image.palette = ImagePalette.raw("RGB;L", bytes(colours))
    return image


def check_tiff(file: IO[bytes]) -> None:
    """Refuses a TIFF whose first page no decoder here is known to read rightly.

    Args:
        file: the TIFF, seekable.

    Raises:
        PhotoError: UNSUPPORTED or DEPTH, with what it is and how to convert it; DECODE where tags or strips lack.
    """
    tags = read_tags(file)
    if tags is None:
        raise PhotoError("DECODE", "the TIFF's tags cannot be followed: copy or download it again")
    if tags.camera_raw:
        raise unsupported("camera raw")
    if tags.big and tags.order == ">":
        raise _unsupported("is a big-endian BigTIFF", "convert it, for example with 'tiffcp in.tif out.tif'")
    if tags.compression not in _COMPRESSIONS:
        name = _COMPRESSION_NAMES.get(tags.compression, f"code {tags.compression}")
        raise _unsupported(f"is compressed with {name}", f"{_WITH_LIBTIFF}, or save it as PNG")
    _check_depth(tags)
    _check_colours(tags)
    _check_planes(tags)
    _check_fill_order(tags)
    _check_chunks(tags)


def describe(tags: TiffTags) -> str:
    """What a pixel is made of, such as "RGB + 2 extra samples of 16 bits"."""
    extra = len(tags.bits) - _COLOURS.get(tags.photometric, 1)
    sizes = " and ".join(str(bits) for bits in sorted(set(tags.bits)))
    formats = " and ".join(_FORMATS.get(code, f"of the format {code}") for code in sorted(tags.formats))
    names = [_EXTRA_NAMES.get(code, f"code {code}") for code in tags.extra[:_MOST_NAMES]]
    names += ["..."] if len(tags.extra) > _MOST_NAMES else []
    known = f" ({', '.join(names)})" if names else ""
    extras = f" + {extra} extra sample{'s' * (extra > 1)}{known}" if extra > 0 else ""
    order = ", big-endian" if max(tags.bits) > 8 and tags.order == ">" else ""
    return f"{_colours(tags)}{extras}, {sizes} bits each, {formats}{order}"


def _colours(tags: TiffTags) -> str:
    return _PHOTOMETRICS.get(tags.photometric, f"colours of the code {tags.photometric}")


def _unsupported(found: str, advice: str) -> PhotoError:
    return PhotoError("UNSUPPORTED", f"the TIFF {found}, which is not read: {advice}")


def _deep(tags: TiffTags) -> PhotoError:
    name = _COMPRESSION_NAMES.get(tags.compression)
    compressed = f", compressed with {name}" if name else ""
    return PhotoError("DEPTH", f"the TIFF's samples are {describe(tags)}{compressed}, which are not read: {_TO_8_BITS}")


def _check_depth(tags: TiffTags) -> None:
    if tags.formats != {1} or len(set(tags.bits)) != 1:
        raise _deep(tags)
    bits = tags.bits[0]
    if tags.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        little = tags.order == "<"
        is_read = bits in _GREY_BITS or (bits == 12 and tags.photometric == _BLACK_IS_ZERO and little)
        if bits == 16 and tags.photometric == _WHITE_IS_ZERO:
            is_read = little
    elif tags.photometric == _PALETTE:
        is_read = bits in _PALETTE_BITS
    else:
        is_read = bits == 8 or (bits == 16 and tags.photometric == _RGB and tags.compression not in _NOT_IN_OPENCV)
    if not is_read:
        raise _deep(tags)


def _check_colours(tags: TiffTags) -> None:
    if tags.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _PALETTE, *_COLOURS):
        raise _unsupported(f"holds {_colours(tags)}", _TO_RGB)
    if tags.photometric == _CMYK and tags.ink_set != 1:
        raise _unsupported("holds inks that are not CMYK", _TO_RGB)
    if tags.photometric == _YCBCR and tags.compression == _NONE:
        raise _unsupported("holds uncompressed YCbCr", _WITH_LIBTIFF)
    extra, bits = tags.extra, tags.bits[0]
    count = len(tags.bits) - _COLOURS.get(tags.photometric, 1)
    if not extra and tags.photometric == _RGB and count == 1:
        return  # without the tag that says so it is alpha
    if not _skips_planes(tags) and (count != len(extra) or extra not in _EXTRAS.get((tags.photometric, bits), {()})):
        code = "DEPTH" if bits > 8 else "UNSUPPORTED"
        bands = "-b 1 -b 2 -b 3" if len(tags.bits) > 2 else "-b 1"
        advice = f"{_TO_RGB}, for example with 'gdal_translate {bands} -ot Byte -scale in.tif out.tif'"
        raise PhotoError(code, f"the TIFF's pixels are {describe(tags)}, which are not read: {advice}")


def _skips_planes(tags: TiffTags) -> bool:
    """Whether the samples beyond the colours are planes without a meaning, which the decoder leaves out."""
    extra, colours = tags.extra, _COLOURS.get(tags.photometric, 1)
    is_skipped = tags.planar and tags.compression != _NONE and bool(extra) and not any(extra)
    return is_skipped and len(tags.bits) == colours + len(extra)


def _check_planes(tags: TiffTags) -> None:
    if not tags.planar or (_skips_planes(tags) and (tags.bits[0] == 8 or tags.photometric == _BLACK_IS_ZERO)):
        return
    readable = {(), (2,)} if tags.compression == _NONE else {(), (1,), (2,)}
    if tags.bits[0] != 8 or tags.photometric not in (_RGB, _CMYK) or tags.extra not in readable:
        code = "DEPTH" if tags.bits[0] > 8 else "UNSUPPORTED"
        found = f"the TIFF keeps a plane for each sample of {describe(tags)}, which is not read"
        raise PhotoError(code, f"{found}: convert it to 8 bits and with 'tiffcp -p contig in.tif out.tif'")


def _check_fill_order(tags: TiffTags) -> None:
    if tags.fill_order == 1:
        return
    bits, raw = tags.bits[0], tags.compression == _NONE
    is_read = {
        _WHITE_IS_ZERO: bits < 8 or (bits == 8 and not raw),
        _BLACK_IS_ZERO: bits <= 8 or (bits == 16 and tags.order == "<"),
        _PALETTE: bits == 8 or not raw,
        _RGB: bits == 8,
    }.get(tags.photometric, False)
    if not is_read or len(tags.bits) != _COLOURS.get(tags.photometric, 1) or tags.fill_order != 2:
        raise _unsupported(
            "has the bits of its bytes in reverse order", "convert it with 'tiffcp -f msb2lsb in.tif out.tif'"
        )


def _check_chunks(tags: TiffTags) -> None:
    if tags.compression == _OLD_JPEG or tags.chunks is None or not tags.offsets:
        return
    if len(tags.offsets) < tags.chunks:
        found = f"the TIFF has {len(tags.offsets)} of the {tags.chunks} strips or tiles that it needs"
        raise PhotoError("DECODE", f"{found}: copy or download it again")
    if 0 in tags.offsets:
        raise _unsupported("leaves out strips or tiles (a sparse file)", "fill them, for example with 'gdal_translate'")
