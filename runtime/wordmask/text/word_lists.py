"""Lists of words as people write them: in files, on the command line, and the background that is taken by default."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from wordmask.errors import VocabularyError
from wordmask.photo.suffixes import is_photo_name
from wordmask.system.package_data import data_path
from wordmask.text.vocabulary import ClassLine
from wordmask.text.word_files import read_word_file, read_words

logger = logging.getLogger(__name__)
_FULL_STOP = re.compile(r"\s*\.(?:\s+|$)")


def class_lines(arguments: Sequence[str]) -> list[ClassLine]:
    """Class lines of --vocabulary: words as given, @FILE replaced by its lines, "cat. dog. cup." by its words.

    Raises:
        VocabularyError: a file cannot be read, or a word is surely a mistake: a file's name without @, or a photo's.
    """
    lines: list[ClassLine] = []
    for number, argument in enumerate(map(_as_utf8, arguments), start=1):
        if not argument.startswith("@"):
            _refuse_files(argument)
            lines += (ClassLine(word, number) for word in _sentence(argument))
            continue
        read = read_words(argument[1:])
        if read.empty:
            name = read.lines[0].file
            logger.warning(
                "line %d of %s is empty: later classes have lower numbers than their lines", read.empty, name
            )
        lines += read.lines
    return lines


def _refuse_files(word: str) -> None:
    """Raises VocabularyError for the name of a photo or of a file that is there; warns if the name could be a word."""
    if is_photo_name(word):
        raise VocabularyError(f"the word {word!r} is a photo's name: photos come before --vocabulary, or by --image")
    if word.startswith("[") and '"' in word:
        raise VocabularyError(
            f"the word {word!r} looks like JSON: give words one by one, or @FILE.json with a list of them"
        )
    try:
        found, folder = Path(word).is_file(), Path(word).is_dir()
    except (OSError, ValueError):  # too long for a file's name, or with a NUL byte
        return
    is_path = os.sep in word
    if folder and is_path:
        raise VocabularyError(f"the word {word!r} is a folder: photos and folders come before --vocabulary")
    if found and (is_path or Path(word).suffix):
        raise VocabularyError(f"the word {word!r} is a file: give @{word} to read the words in it")
    if found:
        logger.warning("the word %r is a file's name, too: @%s would read the words in it", word, word)


def _sentence(argument: str) -> list[str]:
    """The words of a list as Grounded-SAM takes it, with a full stop after each; else the argument as it is.

    "St. Bernard" is a word: a list ends with a full stop, or has two or more.
    """
    words = [word for word in _FULL_STOP.split(argument.strip()) if word]
    ended = argument.rstrip().endswith(".")
    if len(words) > 2 or (ended and len(words) > 1):
        logger.warning("%r is read as %d words: %s", argument, len(words), "; ".join(words))
        return words
    if len(words) > 1:
        logger.warning("%r is read as one word: give several one by one, or with a full stop after each", argument)
    return [argument]


def _as_utf8(argument: str) -> str:
    """What was typed, also where Python takes the terminal to be ASCII and keeps other bytes as surrogates."""
    try:
        return os.fsencode(argument).decode("utf-8")
    except UnicodeError:
        return argument


def background_words(choice: str) -> list[str]:
    """The words of --background."""
    if choice == "default":
        return list(default_background())
    if choice == "none":
        return []
    if choice.startswith("@"):
        return [word for line in read_words(choice[1:]).lines for word in line.words]
    raise VocabularyError(f"--background is {choice!r}, expected default, none or @FILE")


def default_background() -> tuple[str, ...]:
    """Words for what fills a photo around its objects; they take its pixels unless asked for."""
    return tuple(data_path("wordmask.text", "data/background.txt").read_text(encoding="utf-8").split())


def read_class_lines(path: Path) -> list[ClassLine]:
    """The lines of a word list: one class a line, commas between synonyms; see wordmask.text.word_files.

    Raises:
        VocabularyError: the file cannot be read or holds no word.
    """
    return list(read_word_file(path).lines)
