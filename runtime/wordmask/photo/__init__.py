"""A file of any origin to RGB pixels: damage is found, nothing is guessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.photo.reading import Photo, decode, load

__all__ = ["Photo", "decode", "load"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: what only names photos need not load what decodes them."""
    if name not in __all__:
        raise AttributeError(f"module 'wordmask.photo' has no attribute {name!r}")
    from wordmask.photo import reading  # noqa: PLC0415

    return getattr(reading, name)
