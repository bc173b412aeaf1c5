"""Converts the colours of a photo with a colour profile to sRGB, where that is asked for."""

from __future__ import annotations

import io

from PIL import Image

from wordmask.errors import PhotoError


def to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str | None]:
    """Applies a colour profile (perceptual intent, LittleCMS).

    Args:
        image: as it is stored, 8 bits a channel: L, RGB, RGBA, LA, P, PA or CMYK.
        profile: ICC.

    Returns:
        The image in RGB or RGBA, and None; or the image as it came and why its profile cannot be used.

    Raises:
        PhotoError: UNSUPPORTED (this Pillow has no LittleCMS).
    """
    try:
        from PIL import ImageCms  # noqa: PLC0415  (not in every Pillow)
    except ImportError as error:
        raise PhotoError("UNSUPPORTED", f"colour profiles need a Pillow with LittleCMS ({error})") from error
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        colours = _in_space(image, space)
        if colours is None:
            return image, f"its colour profile is for {space}, the image is {image.mode}: not applied"
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(colours, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        return image, f"its colour profile cannot be used ({error}): not applied"
    assert converted is not None  # only a conversion in place gives None
    if alpha is not None:
        converted.putalpha(alpha)
    return converted, None


def _in_space(image: Image.Image, space: str) -> Image.Image | None:
    """The colours in the space that a profile is for; None if the image is in another."""
    if space == "RGB" and image.mode in ("RGB", "RGBA", "P", "PA"):
        return image.convert("RGBA").convert("RGB") if image.mode != "RGB" else image
    if space == "GRAY" and image.mode in ("L", "LA"):
        return image.convert("L")
    return image if space == image.mode == "CMYK" else None
