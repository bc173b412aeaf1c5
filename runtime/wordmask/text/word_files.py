"""Files of words: a text with one class a line, a JSON list, or a column of a table."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from wordmask.errors import VocabularyError
from wordmask.text.vocabulary import ClassLine

_TABLE = re.compile(r"(?P<path>.+\.(?:csv|tsv))(?::(?P<column>.+))?", re.IGNORECASE | re.DOTALL)
_BLANK = "\ufeff \t\r"
_JSON = """a JSON file of words is a list such as ["cat", "cup, mug"]"""


@dataclass(frozen=True)
class WordFile:
    """The classes of a file, in its order.

    Attributes:
        lines: one or more. Comments are none, and do not count where classes are numbered.
        empty: number of the first empty line between words; 0 if there is none.
    """

    lines: tuple[ClassLine, ...]
    empty: int = 0


def read_words(name: str) -> WordFile:
    """Reads what follows `@`: a text or JSON file, or a table's name with `:COLUMN`.

    Raises:
        VocabularyError: the file cannot be read, is a table without a column's name, or holds no word.
    """
    table = _TABLE.fullmatch(name)
    if table is None or (table["column"] and Path(name).exists()):
        return read_word_file(Path(name))
    return _column(Path(table["path"]), table["column"])


def read_word_file(path: Path) -> WordFile:
    r"""Reads a text with one class a line and commas between synonyms, or a JSON list of such lines.

    Lines of a text that begin with `#` are comments; `\#` begins a word with that sign. Empty lines are skipped.

    Raises:
        VocabularyError: the file cannot be read or holds no word.
    """
    text = _text(path)
    if path.suffix.lower() == ".json":
        return _filled(path, enumerate(_json_lines(path, text), start=1))
    return _filled(path, enumerate(text.splitlines(), start=1), comments=True)


def _filled(path: Path, entries: Iterable[tuple[int, str]], *, comments: bool = False) -> WordFile:
    """The entries that are neither empty nor comments."""
    lines: list[ClassLine] = []
    empty: list[int] = []
    for number, entry in entries:
        text = entry.strip(_BLANK)
        if not text:
            empty.append(number)
        elif not comments or not text.startswith("#"):
            word = text.removeprefix("\\") if comments and text.startswith("\\#") else text
            lines.append(ClassLine(word.strip(), number, path.name))
    if not lines:
        raise VocabularyError(f"{path}: holds no words: one class a line")
    return WordFile(tuple(lines), next((number for number in empty if number < lines[-1].number), 0))


def _json_lines(path: Path, text: str) -> list[str]:
    """The class lines of a JSON list; a list in it is a class with its synonyms."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise VocabularyError(f"{path}: cannot be read as JSON ({error}); {_JSON}") from error
    if not isinstance(found, list):
        raise VocabularyError(f"{path}: is no list; {_JSON}")
    lines = []
    for number, entry in enumerate(found, start=1):
        synonyms = entry if isinstance(entry, list) else [entry]
        if not all(isinstance(word, str) for word in synonyms):
            raise VocabularyError(f"{path}: entry {number} is {json.dumps(entry)[:40]}; {_JSON}")
        lines.append(", ".join(synonyms))
    return lines


def _column(path: Path, column: str | None) -> WordFile:
    """The cells of a table's column, below its name in the first row."""
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max("\t;,", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(rows, [])]
        if column not in names:
            found = f"has no column {column!r}" if column else "is a table"
            way = f"@{path}:COLUMN reads a column by the name in the first row, which has {', '.join(names)}"
            raise VocabularyError(f"{path}: {found}: {way}"[:400])
        at = names.index(column)
        return _filled(path, ((rows.line_num, row[at] if at < len(row) else "") for row in rows))
    except csv.Error as error:
        raise VocabularyError(f"{path}: cannot be read as a table ({error})") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise VocabularyError(f"{path}: cannot be read as a list of words ({error}); one class a line") from error
