"""A folder of ONNX graphs with its manifest: found by name, checked file by file before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.bundle.opening import Bundle, open_bundle
    from wordmask.bundle.search import find_bundle

__all__ = ["Bundle", "find_bundle", "open_bundle"]


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: the command line needs little of this folder."""
    if name not in __all__:
        raise AttributeError(f"module 'wordmask.bundle' has no attribute {name!r}")
    from wordmask.bundle import opening  # noqa: PLC0415

    return getattr(opening, name)
