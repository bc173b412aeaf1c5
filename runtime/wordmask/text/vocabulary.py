"""What is asked for: classes of words that CLIP can tell apart.

Two words that CLIP reads as one text have one embedding. In two classes they would halve their probability, and neither
would pass a threshold; so words are compared as CLIP's tokenizer reads them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from wordmask.errors import VocabularyError, WordmaskWarning
from wordmask.text.cleaning import as_read

MOST_CLASSES = 65535  # a label is 16 bits, and 0 is none
LONGEST_WORD = 2000  # characters; CLIP reads some 300, and joining the letters of a word takes time by their square
_MOST_NAMED = 5  # lines in a warning

Key = tuple[str, ...]


@dataclass(frozen=True)
class ClassLine:
    """A line of a word list.

    Attributes:
        text: a class, commas between its synonyms.
        number: of the line in its file or list, from 1.
        file: its name; empty for a list.
    """

    text: str
    number: int
    file: str = ""

    def __str__(self) -> str:
        return f"line {self.number}{self.file and f' of {self.file}'} ({self.text[:40]!r})"

    @property
    def words(self) -> Iterator[str]:
        """Its synonyms as they are written; a byte-order mark, which joining files leaves, is none of them."""
        return (word.replace("\ufeff", "").strip() for word in self.text.split(","))


@dataclass(frozen=True)
class Vocabulary:
    """The classes asked for; a class is one word or several synonyms.

    Attributes:
        classes: per class its synonyms; the first names the class.
        background: words that compete for pixels and are left out of the results: one class, the last. May be empty.
    """

    classes: tuple[tuple[str, ...], ...]
    background: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, lines: Sequence[str | ClassLine], background: Sequence[str] = (), *, merge: bool = True
    ) -> Vocabulary:
        """Reads class lines: commas separate synonyms.

        Words are equal if CLIP reads them as one text: blanks, case, HTML entities and the form of accents do not
        count. Lines with equal words are one class. A warning names them, as later classes then have lower numbers
        than their lines. Background words that are also asked for are left out of the background.

        Args:
            lines: class lines, as strings or with their numbers in a file.
            background: words that compete for pixels.
            merge: else lines with equal words are refused, for callers whose lines have the classes' numbers.

        Raises:
            VocabularyError: not a list of strings, no line or more than MOST_CLASSES, a line without a word, a word in
                two classes, one far too long, or one that is no text (with what Python makes of bytes that are not
                UTF-8).
        """
        classes, repeated = _distinct(_class_lines(lines))
        if repeated and not merge:
            raise VocabularyError(f"{_show(repeated)}: give each class once")
        if repeated:
            count = f"the vocabulary has {len(classes) + len(repeated)} lines and {len(classes)} classes"
            text = f"{count}, as CLIP reads some lines alike: {_show(repeated)}"
            warnings.warn(f"{text}. Later classes have lower numbers than their lines", WordmaskWarning, stacklevel=2)
        if not classes:
            raise VocabularyError("the vocabulary is empty: give at least one word")
        if len(classes) > MOST_CLASSES:
            found = f"the vocabulary has {len(classes)} classes, expected at most {MOST_CLASSES}"
            raise VocabularyError(f"{found}: split it, or make synonyms of one line")
        asked = {key for synonyms in classes for key in synonyms}
        kept = {key: word for key, word in _background(background).items() if key not in asked}
        return cls(tuple(tuple(synonyms.values()) for synonyms in classes), tuple(kept.values()))

    @property
    def names(self) -> tuple[str, ...]:
        """The first synonym of each class, without the background."""
        return tuple(synonyms[0] for synonyms in self.classes)


def _distinct(lines: Iterable[ClassLine]) -> tuple[list[dict[Key, str]], list[tuple[ClassLine, ClassLine]]]:
    """Each class's words by what CLIP reads; and the lines that are another one again, with that one.

    Raises:
        VocabularyError: a line without a word, a word in two classes, or one that cannot be used.
    """
    classes: dict[frozenset[Key], dict[Key, str]] = {}
    owners: dict[Key, ClassLine] = {}
    repeated: list[tuple[ClassLine, ClassLine]] = []
    for line in lines:
        synonyms = _keyed(line.words, line.text)
        if not synonyms:
            raise VocabularyError(f"the vocabulary has an empty entry ({line}): give a word, or remove it")
        if frozenset(synonyms) in classes:
            repeated.append((line, owners[next(iter(synonyms))]))
            continue
        for key, word in synonyms.items():
            if key in owners:
                found = f"CLIP reads {word[:40]!r} of {line} as a word of {owners[key]}, and could not tell them apart"
                raise VocabularyError(f"{found}: leave it in one of the two, or make them one line")
            owners[key] = line
        classes[frozenset(synonyms)] = synonyms
    return list(classes.values()), repeated


def _show(repeated: Sequence[tuple[ClassLine, ClassLine]]) -> str:
    pairs = [f"{line} is {first} again" for line, first in repeated[:_MOST_NAMED]]
    more = [f"and {len(repeated) - _MOST_NAMED} more"] if len(repeated) > _MOST_NAMED else []
    return "; ".join([*pairs, *more])


def _class_lines(lines: Sequence[str | ClassLine]) -> Iterator[ClassLine]:
    if isinstance(lines, str) or not all(isinstance(line, str | ClassLine) for line in lines):
        raise VocabularyError(f"the words are {lines!r}: give a list of strings")
    for number, line in enumerate(lines, start=1):
        yield ClassLine(line, number) if isinstance(line, str) else line


def check_background(words: Sequence[str]) -> None:
    """Raises VocabularyError unless it is a list of strings: one string would be taken for its letters."""
    if isinstance(words, str) or not all(isinstance(word, str) for word in words):
        hint = "[] for none, None for the default ones"
        raise VocabularyError(f"the background words are {words!r}: give a list of strings, {hint}")


def _background(words: Sequence[str]) -> dict[Key, str]:
    check_background(words)
    kept: dict[Key, str] = {}
    for word in words:
        for key, spelled in _keyed([word.strip()], word).items():
            kept.setdefault(key, spelled)
    return kept


def _keyed(words: Iterable[str], line: str) -> dict[Key, str]:
    """Words by what CLIP reads; the first of equal ones stays, what is nothing to CLIP is left out."""
    if any("\ud800" <= character <= "\udfff" for character in line):
        raise VocabularyError(f"the vocabulary's entry {line[:40]!r} is no text: give words in UTF-8")
    keyed: dict[Key, str] = {}
    for word in words:
        if len(word) > LONGEST_WORD:
            found = f"the vocabulary's entry {word[:40]!r}... has {len(word)} characters"
            raise VocabularyError(f"{found}, expected a word of at most {LONGEST_WORD}: is the file a list of words?")
        if key := as_read(word):
            keyed.setdefault(key, word)
    return keyed
