"""A vocabulary: what is asked for, and what is refused."""

from __future__ import annotations

import pytest

from wordmask.errors import VocabularyError
from wordmask.text.word_lists import default_background
from wordmask.types import Vocabulary


def test_the_background_leaves_out_what_is_asked_for():
    background = default_background()
    assert {"sky", "wall", "road"} <= set(background)
    vocabulary = Vocabulary.parse(["Sky, blue heaven", "dog"], background)
    assert "sky" not in vocabulary.background
    assert vocabulary.names == ("Sky", "dog")


def test_more_classes_than_a_label_map_can_hold_are_refused():
    lines = [str(number) for number in range(65536)]
    with pytest.raises(VocabularyError, match="65536 classes, expected at most 65535"):
        Vocabulary.parse(lines)
    assert len(Vocabulary.parse(lines[:-1]).classes) == 65535


def test_class_lines_are_deduplicated_and_empty_ones_refused():
    assert Vocabulary.parse(["cat", "dog", "cat", "kitten , cat,"]).classes == (("cat",), ("dog",), ("kitten", "cat"))
    assert Vocabulary.parse(["Cup", "cup", "cup, CUP"]).classes == (("Cup",),)
    for lines in ([], [""], ["cat", " , "], "cat", ["cat", 3]):
        with pytest.raises(VocabularyError):
            Vocabulary.parse(lines)


def test_a_word_that_is_no_text_or_far_too_long_is_refused():
    with pytest.raises(VocabularyError, match=r"entry 'caf\\udce9' is no text"):
        Vocabulary.parse(["cat", b"caf\xe9".decode(errors="surrogateescape")])
    assert Vocabulary.parse(["x" * 2000]).names == ("x" * 2000,)
    with pytest.raises(VocabularyError, match=r"has 2001 characters, expected a word of at most 2000"):
        Vocabulary.parse(["cat, " + "x" * 2001])
