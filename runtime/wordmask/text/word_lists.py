"""Lists of words as people write them: in files, on the command line, and the background that is taken by default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wordmask.errors import VocabularyError


def class_lines(arguments: Sequence[str]) -> list[str]:
    """Class lines of --vocabulary: words as given, @FILE replaced by its lines."""
    lines: list[str] = []
    for argument in arguments:
        lines += read_class_lines(Path(argument[1:])) if argument.startswith("@") else [argument]
    return lines


def background_words(choice: str) -> list[str]:
    """The words of --background."""
    if choice == "default":
        return list(default_background())
    if choice == "none":
        return []
    if choice.startswith("@"):
        return [word for line in read_class_lines(Path(choice[1:])) for word in line.split(",")]
    raise VocabularyError(f"--background is {choice!r}, expected default, none or @FILE")


def default_background() -> tuple[str, ...]:
    """Words for what fills a photo around its objects; they take its pixels unless asked for."""
    return tuple((Path(__file__).parent / "data" / "background.txt").read_text(encoding="utf-8").split())


def read_class_lines(path: Path) -> list[str]:
    """The lines of a word list: one class a line, commas between synonyms; empty lines are skipped.

    Raises:
        VocabularyError: the file cannot be read or holds no word.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot be read as a list of words ({error}); one class a line") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise VocabularyError(f"{path}: holds no words: one class a line")
    return lines
