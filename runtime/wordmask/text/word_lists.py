"""Lists of words as people write them: in files, on the command line, and the background that is taken by default."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from wordmask.errors import VocabularyError
from wordmask.system.package_data import data_path
from wordmask.text.vocabulary import ClassLine

logger = logging.getLogger(__name__)


def class_lines(arguments: Sequence[str]) -> list[ClassLine]:
    """Class lines of --vocabulary: words as given, @FILE replaced by its lines."""
    lines: list[ClassLine] = []
    for number, argument in enumerate(map(_as_utf8, arguments), start=1):
        if not argument.startswith("@"):
            lines.append(ClassLine(argument, number))
            continue
        read = read_class_lines(Path(argument[1:]))
        if skipped := first_gap(read):
            logger.warning(
                "line %d of %s is empty: later classes have lower numbers than their lines", skipped, read[0].file
            )
        lines += read
    return lines


def _as_utf8(argument: str) -> str:
    """What was typed, also where Python takes the terminal to be ASCII and keeps other bytes as surrogates."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def first_gap(lines: Sequence[ClassLine]) -> int:
    """The number of the first line that is missing between lines of a file; 0 if none is."""
    numbers = {line.number for line in lines}
    return next((number for number in range(1, lines[-1].number) if number not in numbers), 0)


def background_words(choice: str) -> list[str]:
    """The words of --background."""
    if choice == "default":
        return list(default_background())
    if choice == "none":
        return []
    if choice.startswith("@"):
        return [word for line in read_class_lines(Path(choice[1:])) for word in line.words]
    raise VocabularyError(f"--background is {choice!r}, expected default, none or @FILE")


def default_background() -> tuple[str, ...]:
    """Words for what fills a photo around its objects; they take its pixels unless asked for."""
    return tuple(data_path("wordmask.text", "data/background.txt").read_text(encoding="utf-8").split())


def read_class_lines(path: Path) -> list[ClassLine]:
    """The lines of a word list: one class a line, commas between synonyms; empty lines are skipped.

    Raises:
        VocabularyError: the file cannot be read or holds no word.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot be read as a list of words ({error}); one class a line") from error
    lines = [
        ClassLine(line.strip(), number, path.name)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip("\ufeff \t\r")
    ]
    if not lines:
        raise VocabularyError(f"{path}: holds no words: one class a line")
    return lines
