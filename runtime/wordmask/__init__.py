"""Words in, masks out: training-free open-vocabulary segmentation without torch.

from wordmask import Segmenter
result = Segmenter("default")("photo.jpg", ["person", "car", "traffic light"])
result.save("masks.png")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.errors import WordmaskError
    from wordmask.pipeline import Segmenter
    from wordmask.result import Result
    from wordmask.types import Instance, Options
    from wordmask.types import Segmentation as Segmentation  # Result's base, a public name before it

__all__ = ["Instance", "Options", "Result", "Segmenter", "WordmaskError"]
__version__ = "0.1.0"  # as in setup.cfg
_HOMES = {
    "Instance": "types",
    "Options": "types",
    "Result": "result",
    "Segmentation": "types",
    "Segmenter": "pipeline",
    "WordmaskError": "errors",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used: `import wordmask` stays fast."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wordmask' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    return getattr(importlib.import_module(f"wordmask.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
