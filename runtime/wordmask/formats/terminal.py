"""Text of any origin made safe for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escapes control characters: a file name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: int, noun: str) -> str:
    """A number and its noun, with an s unless it is one: "1 mask", "2 masks"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
