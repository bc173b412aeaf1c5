"""Words in, masks out: training-free open-vocabulary segmentation without torch.

from wordmask import Segmenter
result = Segmenter("default")("photo.jpg", ["person", "car", "traffic light"])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.errors import WordmaskError
    from wordmask.pipeline import Segmenter
    from wordmask.types import Instance, Options, Segmentation

__all__ = ["Instance", "Options", "Segmentation", "Segmenter", "WordmaskError"]
_HOMES = {"Segmenter": "pipeline", "WordmaskError": "errors"}  # the others stand in types


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `import wordmask` stays fast."""
    if name not in __all__:
        raise AttributeError(f"module 'wordmask' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"wordmask.{_HOMES.get(name, 'types')}"), name)
