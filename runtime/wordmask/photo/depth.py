"""Turns whatever colours an image has into 8-bit RGB.

Pillow keeps only the high byte of 16-bit colour, which turns 12-bit data stored in 16 bits nearly black; those samples
are read again with OpenCV and scaled by their real range. The two must agree on every high byte: a decoder that leaves
memory as it found it is not believed.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from wordmask.errors import PhotoError
from wordmask.photo.png import Png
from wordmask.photo.profile import to_srgb

_FULL_RANGE = 65535
_LEAST_MAXIMUM = 1 << 14  # 16-bit samples that stay below are taken for 10 to 14-bit data that nobody scaled
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE = 258, 262, 281  # TIFF 6.0, section 8
_OPAQUE_BMP = "the BMP's alpha is 0 everywhere: its colours are taken as opaque"
_INVISIBLE = "the image is transparent everywhere: it is read as white"


def to_rgb(
    image: Image.Image, data: bytes, png: Png | None = None, profile: bytes | None = None
) -> tuple[Image.Image, tuple[str, ...]]:
    """8-bit RGB of a loaded image; transparency is laid over white.

    Without a profile, CMYK and wide-gamut numbers are converted as they are. 16-bit samples are scaled by the maximum
    that the file states (PPM, TIFF), else by 65535.

    Args:
        image: as Pillow loaded it.
        data: the file it came from.
        png: what is known of it where it is a PNG.
        profile: of its colours, from which they are converted to sRGB.

    Returns:
        The image, and what the user should know.

    Raises:
        PhotoError: DEPTH (floats, 32-bit integers, 16-bit samples that fill less than a quarter of their range and do
            not say why, or that two decoders read differently).
    """
    samples = _deep_samples(image, data, png)
    hidden = _hidden(image, samples, png)
    is_bmp = isinstance(image, BmpImagePlugin.BmpImageFile)
    if samples is not None:
        image = Image.fromarray(_scale(samples, image))
    if image.mode in ("F", "I"):
        found = "floating-point" if image.mode == "F" else "32-bit integer"
        raise PhotoError("DEPTH", f"the image has {found} samples, expected 8 or 16 bits: convert it to 8 bits")
    notes: tuple[str, ...] = ()
    if profile is not None:
        image, note = to_srgb(image, profile)
        notes = () if note is None else (note,)
    if hidden is not None:
        pixels = np.array(image.convert("RGB"))
        pixels[hidden] = 255
        return Image.fromarray(pixels), (*notes, *([_INVISIBLE] if hidden.all() else []))
    if image.has_transparency_data:
        image, note = _over_white(image, is_bmp=is_bmp)
        return image, notes if note is None else (*notes, note)
    return (image if image.mode == "RGB" else image.convert("RGB")), notes


def _over_white(image: Image.Image, *, is_bmp: bool) -> tuple[Image.Image, str | None]:
    image = image.convert("RGBA")
    is_invisible = image.getchannel("A").getextrema() == (0, 0)
    if is_bmp and is_invisible:  # many programs leave this byte at 0
        return image.convert("RGB"), _OPAQUE_BMP
    canvas = Image.new("RGB", image.size, "white")
    canvas.paste(image, mask=image)
    return canvas, _INVISIBLE if is_invisible else None


def _hidden(image: Image.Image, deep: NDArray[np.uint16] | None, png: Png | None) -> NDArray[np.bool_] | None:
    """Where a PNG has the colour that means transparent, bool (H, W); None if there is none."""
    if png is None or png.key is None:
        return None
    samples = np.asarray(image.convert("L") if image.mode == "1" else image) if deep is None else deep
    key = np.array(png.key)
    if png.depth < 8:
        key *= 255 // ((1 << png.depth) - 1)  # Pillow stretches grey of 1, 2 and 4 bits to 0 to 255
    return np.asarray(samples == key[0] if samples.ndim == 2 else np.all(samples[..., :3] == key, axis=-1))


def _deep_samples(image: Image.Image, data: bytes, png: Png | None) -> NDArray[np.uint16] | None:
    """The samples of an image with more than 8 bits, u16 (H, W) or (H, W, 3 or 4); None for any other image."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    is_deep_png = png is not None and png.depth == 16
    if image.mode == "I" and (is_deep_png or isinstance(image, PpmImagePlugin.PpmImageFile)):
        return np.asarray(image).astype(np.uint16)
    if isinstance(image, PngImagePlugin.PngImageFile):
        deep = is_deep_png
    else:
        deep = isinstance(image, TiffImagePlugin.TiffImageFile) and max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) == 16
    if not deep or image.mode in ("I", "F"):
        return None
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    bands = {"RGB": [2, 1, 0], "RGBX": [2, 1, 0], "RGBA": [2, 1, 0, 3]}.get(image.mode)  # of OpenCV's BGR and alpha
    if (
        bands is None
        or samples is None
        or samples.dtype != np.uint16
        or samples.shape[:2] != (image.height, image.width)
        or samples.shape[-1] <= max(bands)
    ):
        found = f"the image has 16-bit {image.mode} samples that cannot be read"
        raise PhotoError("DEPTH", f"{found}: convert it to 8 bits")
    deep_samples = np.asarray(samples[..., bands], np.uint16)  # (H, W, BGR or BGRA) -> (H, W, RGB or RGBA)
    if not np.array_equal(deep_samples >> 8, np.asarray(image)[..., : len(bands)]):
        found = f"two decoders read the image's 16-bit {image.mode} samples differently"
        raise PhotoError("DEPTH", f"{found}: convert it to 8 bits")
    return deep_samples


def _scale(samples: NDArray[np.uint16], image: Image.Image) -> NDArray[np.uint8]:
    """Samples as 8 bits, by the maximum that the image states or else by the full range."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = max(tags.get(_BITS_PER_SAMPLE, (16,)))
    stated = max(tags.get(_MAX_SAMPLE, (0,)))
    maximum = stated if 255 < stated < _FULL_RANGE else (1 << bits) - 1
    brightest = int(samples[..., :3].max() if samples.ndim == 3 else samples.max())
    is_stated = maximum < _FULL_RANGE or isinstance(image, PpmImagePlugin.PpmImageFile)
    if 0 < brightest < _LEAST_MAXIMUM and not is_stated:
        found = f"the image has 16 bits a sample, but none is above {brightest} of 65535"
        advice = "if it is 10, 12 or 14-bit data, scale them and save it as 8 bits"
        raise PhotoError("DEPTH", f"{found}, so that its real range is unknown and it would turn out dark: {advice}")
    levels = np.arange(_FULL_RANGE + 1, dtype=np.int64)
    table = np.minimum((levels * 255 + maximum // 2) // maximum, 255).astype(np.uint8)
    scaled: NDArray[np.uint8] = table[samples]
    return 255 - scaled if tags.get(_PHOTOMETRIC) == 0 else scaled
