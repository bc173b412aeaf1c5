"""Decodes whole JPEGs with simplejpeg, where it is installed (the extra `fast`).

It drives libjpeg-turbo as Pillow does, but straight into an array, and takes any warning of libjpeg for an error. What
it decodes without a warning, `jpeg` finds whole too, with the same pixels; anything else is left to `jpeg`,
which says what is wrong. So a photo's pixels and codes do not depend on what is installed.
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from wordmask.errors import PhotoError
from wordmask.photo.jpeg_markers import PROGRESSIVE, SEQUENTIAL, is_complete, is_single, read_layout

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

_COMPONENTS = (1, 3)  # what four mean is left to Pillow


def decode_whole_jpeg(data: bytes, max_pixels: int) -> tuple[NDArray[np.uint8], JpegImagePlugin.JpegImageFile] | None:
    """Decodes the first image of a JPEG file, if nothing is wrong with it.

    Args:
        data: the file; what follows the image is ignored.
        max_pixels: most pixels allowed.

    Returns:
        u8 (H, W, 3), RGB as stored, and the image as Pillow opens it, for its metadata. None where `jpeg` has to
        decide.
    """
    if simplejpeg is None:
        return None
    try:
        layout = read_layout(data)
        frame, data = layout.frame, data[: layout.end]
        is_usual = frame.kind in {*SEQUENTIAL, PROGRESSIVE} and len(frame.components) in _COMPONENTS
        if (
            layout.damage is not None
            or not layout.has_end
            or not is_usual
            or not 0 < frame.width * frame.height <= max_pixels
        ):
            return None
        # libjpeg does not warn of scans that are missing
        if not (frame.kind in SEQUENTIAL and is_single(data, layout)) and not is_complete(data, layout):
            return None
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except (PhotoError, ValueError, OSError, SyntaxError):
        return None
    if image.size != (pixels.shape[1], pixels.shape[0]):
        return None
    return pixels, image
