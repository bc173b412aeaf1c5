"""A vocabulary with its embeddings, as the class map needs it."""

from __future__ import annotations

from dataclasses import dataclass

from wordmask.arrays import Floats
from wordmask.text.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class Queries:
    """A vocabulary as the class map needs it.

    Attributes:
        vocabulary: what was asked for.
        embeddings: f32 (Q, D), of unit length, of all words and synonyms, the background's at the end.
        class_starts: the index of each class's first word.
    """

    vocabulary: Vocabulary
    embeddings: Floats
    class_starts: tuple[int, ...]
