"""What the commands' arguments have in common: words given or in a file, and names shown on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wordmask.errors import VocabularyError


def class_lines(arguments: Sequence[str]) -> list[str]:
    """Class lines of --vocabulary: words as given, @FILE replaced by its lines."""
    from wordmask.words import read_class_lines

    lines: list[str] = []
    for argument in arguments:
        lines += read_class_lines(Path(argument[1:])) if argument.startswith("@") else [argument]
    return lines


def background_words(choice: str) -> list[str]:
    """The words of --background."""
    from wordmask.words import default_background, read_class_lines

    if choice == "default":
        return list(default_background())
    if choice == "none":
        return []
    if choice.startswith("@"):
        return [word for line in read_class_lines(Path(choice[1:])) for word in line.split(",")]
    raise VocabularyError(f"--background is {choice!r}, expected default, none or @FILE")


def printable(text: str) -> str:
    """Control characters escaped: a file's name must not steer the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
