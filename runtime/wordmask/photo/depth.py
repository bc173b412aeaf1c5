"""Turns whatever colours an image has into 8-bit RGB.

Pillow keeps only the high byte of 16-bit colour, which turns 12-bit data stored in 16 bits nearly black; those samples
are read again with OpenCV and scaled by their real range.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, PpmImagePlugin, TiffImagePlugin

from wordmask.errors import PhotoError

_FULL_RANGE = 65535
_LEAST_MAXIMUM = 1 << 14  # 16-bit samples that stay below are taken for 10 to 14-bit data that nobody scaled
_PNG_DEPTH = 24  # position of the bit depth in a PNG
_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE = 258, 262, 281  # TIFF 6.0, section 8


def to_rgb(image: Image.Image, data: bytes) -> Image.Image:
    """8-bit RGB of a loaded image; transparency is laid over white.

    Colour profiles are not applied: CMYK and wide-gamut numbers are converted as they are. 16-bit samples are scaled by
    the maximum that the file states (PPM, TIFF), else by 65535.

    Args:
        image: as Pillow loaded it.
        data: the file it came from.

    Raises:
        PhotoError: DEPTH (floats, 32-bit integers, 16-bit samples that fill less than a quarter of their range and do
            not say why).
    """
    samples = _deep_samples(image, data)
    if samples is not None:
        image = Image.fromarray(_scale(samples, image))
    if image.mode in ("F", "I"):
        found = "floating-point" if image.mode == "F" else "32-bit integer"
        raise PhotoError("DEPTH", f"the image has {found} samples, expected 8 or 16 bits: convert it to 8 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        canvas = Image.new("RGB", image.size, "white")
        canvas.paste(image, mask=image)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _deep_samples(image: Image.Image, data: bytes) -> NDArray[np.uint16] | None:
    """The samples of an image with more than 8 bits, u16 (H, W) or (H, W, 3 or 4); None for any other image."""
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    if isinstance(image, PpmImagePlugin.PpmImageFile) and image.mode == "I":
        return np.asarray(image).astype(np.uint16)
    if isinstance(image, PngImagePlugin.PngImageFile):
        deep = data[_PNG_DEPTH] == 16
    else:
        deep = isinstance(image, TiffImagePlugin.TiffImageFile) and max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))) == 16
    if not deep or image.mode in ("I", "F"):
        return None
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    channels = {"RGB": 3, "RGBX": 3, "RGBA": 4, "LA": 4}.get(image.mode)
    shape = (image.height, image.width)
    if (
        channels is None
        or samples is None
        or samples.dtype != np.uint16
        or samples.shape[:2] != shape
        or samples.shape[-1] < channels
    ):
        raise PhotoError(
            "DEPTH", f"the image has 16-bit {image.mode} samples that cannot be read: convert it to 8 bits"
        )
    return np.asarray(samples[..., [2, 1, 0, 3][:channels]], np.uint16)  # (H, W, BGR or BGRA) -> (H, W, RGB or RGBA)


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
