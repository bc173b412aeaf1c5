"""How text of any origin is shown on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Control characters escaped: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
