"""A vocabulary: what is asked for, which words are one to CLIP, and what is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wordmask.errors import VocabularyError, WordmaskWarning
from wordmask.text.cleaning import chunks, clean
from wordmask.text.tokenizer import Tokenizer
from wordmask.text.vocabulary import ClassLine, Vocabulary
from wordmask.text.word_lists import default_background

MERGES = Path(__file__).resolve().parents[3] / "models_cache" / "tiny" / "bpe_simple_vocab_16e6.txt.gz"
TOKENIZER = Tokenizer(MERGES)
E_ACUTE = unicodedata.normalize("NFC", "e\u0301")
ONE_TO_CLIP = [
    ("red plain", "red  plain"),
    ("red plain", "red\tplain"),
    ("red plain", "red\u00a0plain"),
    ("red plain", "\ufeffred plain"),
    ("red plain", "RED Plain"),
    ("salt & pepper", "salt &amp; pepper"),
    ("salt & pepper", "salt &amp;amp; pepper"),
    ("caf" + E_ACUTE, "cafe\u0301"),
    ("caf" + E_ACUTE, "CAF&Eacute;"),
    ("caf" + E_ACUTE, "caf\u00c3\u00a9"),
    ("fish", "\ufb01sh"),
    ("dog", "\uff44\uff4f\uff47"),
    ("driver's seat", "driver\u2019s seat"),
    ("t-shirt", "t - shirt"),
    ("no 12", "no 1 2"),
]


def said(recwarn) -> str:
    return "\n".join(str(each.message) for each in recwarn if each.category is WordmaskWarning)


def test_the_background_leaves_out_what_is_asked_for():
    background = default_background()
    assert {"sky", "wall", "road"} <= set(background)
    vocabulary = Vocabulary.parse(["Sky, blue heaven", "dog"], background)
    assert "sky" not in vocabulary.background
    assert vocabulary.names == ("Sky", "dog")


def test_background_words_that_clip_reads_as_a_class_or_as_each_other_are_left_out():
    background = ["red  plain", "grass", "GRASS", "caf\u00c3\u00a9", " ", "&nbsp;", "stone"]
    vocabulary = Vocabulary.parse(["red plain", "caf" + E_ACUTE], background)
    assert vocabulary.background == ("grass", "stone")


def test_more_classes_than_a_label_map_can_hold_are_refused():
    lines = [str(number) for number in range(65536)]
    with pytest.raises(VocabularyError, match="65536 classes, expected at most 65535"):
        Vocabulary.parse(lines)
    assert len(Vocabulary.parse(lines[:-1]).classes) == 65535


@pytest.mark.parametrize("words", ONE_TO_CLIP, ids=ascii)
def test_words_that_clip_reads_as_one_text_are_one_class(words, recwarn):
    tokens = TOKENIZER([f"a photo of a {word}." for word in words])
    assert tokens[0].tolist() == tokens[1].tolist()
    assert Vocabulary.parse([words[0], "dog house", words[1]]).classes == ((words[0],), ("dog house",))
    assert "line 3" in said(recwarn)
    assert "line 1" in said(recwarn)


@pytest.mark.parametrize(
    "words", [("red plain", "redplain"), ("t-shirt", "tshirt"), ("Stra\u00dfe", "strasse")], ids=ascii
)
def test_words_that_clip_reads_as_two_texts_are_two_classes(words, recwarn):
    assert Vocabulary.parse(words).names == words
    assert not said(recwarn)


def test_repeated_lines_are_one_class_and_a_warning_gives_both_numbers(recwarn):
    lines = ["circle", "star, five corners", "Circle", "square", "five  corners, STAR"]
    assert Vocabulary.parse(lines).classes == (("circle",), ("star", "five corners"), ("square",))
    assert [str(each.message) for each in recwarn] == [
        "the vocabulary has 5 lines and 3 classes, as CLIP reads some lines alike: "
        "line 3 ('Circle') is line 1 ('circle') again; "
        "line 5 ('five  corners, STAR') is line 2 ('star, five corners') again. "
        "Later classes have lower numbers than their lines"
    ]


def test_repeated_lines_are_refused_where_they_number_the_classes():
    with pytest.raises(VocabularyError, match=r"line 3 \('A'\) is line 1 \('a'\) again: give each class once"):
        Vocabulary.parse(["a", "b", "A"], merge=False)


def test_a_word_of_two_classes_is_refused_with_both_lines():
    lines = [ClassLine("red plain", 1, "words.txt"), ClassLine("scarlet, Red  plain", 4, "words.txt")]
    with pytest.raises(VocabularyError) as refused:
        Vocabulary.parse(lines)
    assert str(refused.value) == (
        "CLIP reads 'Red  plain' of line 4 of words.txt ('scarlet, Red  plain') as a word of line 1 of words.txt "
        "('red plain'), and could not tell them apart: leave it in one of the two, or make them one line"
    )


def test_repeated_synonyms_count_once_and_empty_lines_are_refused():
    assert Vocabulary.parse(["kitten , cat,", "dog"]).classes == (("kitten", "cat"), ("dog",))
    assert Vocabulary.parse(["Cup, cup,  CUP"]).classes == (("Cup",),)
    for lines in ([], [""], ["cat", " , "], ["cat", "\ufeff"], ["cat", "&nbsp;,\x00"], "cat", ["cat", 3]):
        with pytest.raises(VocabularyError):
            Vocabulary.parse(lines)


def test_a_byte_order_mark_is_no_part_of_a_name():
    assert Vocabulary.parse(["red plain", "\ufeffgreen, \ufeffmeadow"]).classes == (("red plain",), ("green", "meadow"))


@pytest.mark.parametrize("background", ["none", "sky", b"sky", ["sky", 3]])
def test_a_background_that_is_no_list_of_words_is_refused_with_a_hint(background):
    with pytest.raises(VocabularyError, match=r"give a list of strings, \[\] for none, None for the default ones"):
        Vocabulary.parse(["cat"], background)


def test_a_word_that_is_no_text_or_far_too_long_is_refused():
    bad = b"caf\xe9".decode(errors="surrogateescape")
    for lines, background in (["cat", bad], []), (["cat"], [bad]):
        with pytest.raises(VocabularyError, match=r"entry 'caf\\udce9' is no text"):
            Vocabulary.parse(lines, background)
    assert Vocabulary.parse(["x" * 2000]).names == ("x" * 2000,)
    for lines, background in (["cat, " + "x" * 2001], []), (["cat"], ["x" * 2001]):
        with pytest.raises(VocabularyError, match=r"has 2001 characters, expected a word of at most 2000"):
            Vocabulary.parse(lines, background)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="&")))
def test_printable_ascii_has_nothing_that_the_cleaning_left_out_would_mend(text):
    assert clean(text) == " ".join(ftfy.fix_text(text).split()).lower()


@given(st.text(max_size=8), st.text(max_size=8))
def test_texts_of_the_same_chunks_have_the_same_tokens(first, second):
    same = TOKENIZER.encode(first) == TOKENIZER.encode(second)
    assert same == (chunks(first) == chunks(second))


def test_behind_an_end_token_in_a_word_clip_reads_nothing(recwarn):
    assert Vocabulary.parse(["cat<end_of_text>dog", "cat", "Cat <END_OF_TEXT>mouse"]).names == (
        "cat<end_of_text>dog",
        "cat",
    )
    assert "line 3" in said(recwarn)
