"""Which packages a command needs beyond the runtime's own, and the extra that brings them."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from wordmask.errors import MissingExtraError

BUILD = ("torch", "torchvision", "onnx", "onnxscript", "open_clip", "timm", "sam2", "huggingface_hub", "safetensors")
ENGINES = ("tensorrt", "cuda.bindings", "onnx")
POLYGRAPHY = ("polygraphy",)
SUPERVISION = ("supervision",)
PANDAS = ("pandas",)
HUB = ("huggingface_hub",)
RAY = ("ray", "pyarrow", "fsspec")


def need(command: str, extra: str, modules: Sequence[str]) -> None:
    """Raises MissingExtraError for the first module that is not installed."""
    for module in modules:
        try:
            found = importlib.util.find_spec(module)
        except ImportError:
            found = None
        if found is None:
            raise MissingExtraError(command, extra, module)
