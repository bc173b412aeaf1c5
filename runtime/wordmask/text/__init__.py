"""Words to embeddings: word lists, CLIP's tokenizer and text graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wordmask.text.tokenizer import Tokenizer

__all__ = ["Tokenizer"]


def __getattr__(name: str) -> Any:
    """Imports the public name when it is first used: the command line reads lists of words without numpy."""
    if name not in __all__:
        raise AttributeError(f"module 'wordmask.text' has no attribute {name!r}")
    from wordmask.text.tokenizer import Tokenizer  # noqa: PLC0415

    return Tokenizer
