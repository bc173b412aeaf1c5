"""Results as pictures: labels, confidence, JPEG."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.arrays import BoolMask, Floats
from wordmask.formats.palette import voc_palette

PALETTE_WORDS = 255  # more do not fit a palette PNG


def label_png(labels: NDArray[np.uint16], words: int) -> bytes:
    """A label map (H, W) as PNG: VOC's palette up to 255 words, 16-bit grey above."""
    if words <= PALETTE_WORDS:
        picture = Image.fromarray(labels.astype(np.uint8))
        picture.putpalette(voc_palette().tobytes())
    else:
        picture = Image.fromarray(labels.astype(np.uint16))
    return encode(picture, "PNG")


def confidence_png(confidence: Floats) -> bytes:
    """Probabilities (H, W) as 16-bit grey PNG: 65535 is 1."""
    return encode(Image.fromarray(np.rint(confidence * 65535).astype(np.uint16)), "PNG")


def jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    """An RGB picture (H, W, 3) as JPEG."""
    return encode(Image.fromarray(pixels), "JPEG", quality=quality)


def png(pixels: NDArray[np.uint8] | BoolMask) -> bytes:
    """An RGB picture (H, W, 3), or a mask (H, W), as PNG."""
    return encode(Image.fromarray(pixels), "PNG")


def encode(picture: Image.Image, kind: str, **settings: int) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return stream.getvalue()
