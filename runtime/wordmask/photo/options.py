"""How photos are read: the choices of a run, passed as one value from the command line to the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MAX_PIXELS = 178_000_000
ColorProfile = Literal["ignore", "srgb"]
COLOR_PROFILES: tuple[ColorProfile, ...] = ("ignore", "srgb")


@dataclass(frozen=True)
class ReadOptions:
    """What a caller may choose about reading.

    Attributes:
        lenient: take a JPEG with garbled data as far as it can be decoded, and note it.
        max_pixels: most pixels allowed; decided from the header, before memory is taken.
        color_profile: `ignore` takes the numbers of a photo as they are, as the loaders of CLIP and SAM2 do; `srgb`
            converts them where the photo has a colour profile (Display P3, Adobe RGB, CMYK).
    """

    lenient: bool = False
    max_pixels: int = MAX_PIXELS
    color_profile: ColorProfile = "ignore"

    def __post_init__(self) -> None:
        if self.max_pixels < 1:
            raise ValueError(f"max_pixels is {self.max_pixels}: it must be at least 1")
        if self.color_profile not in COLOR_PROFILES:
            raise ValueError(f"color_profile is {self.color_profile!r}: it must be {' or '.join(COLOR_PROFILES)}")


DEFAULTS = ReadOptions()
