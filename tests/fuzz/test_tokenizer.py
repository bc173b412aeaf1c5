"""The tokenizer: any text has tokens, those of open_clip; what is no text, and no merges file, is refused."""

from __future__ import annotations

import functools
import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fuzzing import MINUTES, fuzz
from wordmask.errors import BundleError, VocabularyError, WordmaskWarning
from wordmask.text.tokenizer import Tokenizer
from wordmask.text.vocabulary import Vocabulary

MERGES = Path(__file__).resolve().parents[2] / "models_cache" / "tiny" / "bpe_simple_vocab_16e6.txt.gz"
TOKENIZER = Tokenizer(MERGES)

anything = st.text(st.characters(exclude_categories=()))
pieces = st.lists(
    st.text(max_size=4)
    | st.sampled_from(
        [
            "<start_of_text>",
            "<end_of_text>",
            "&amp;",
            "&lt;",
            "&#x41;",
            "'s",
            "'LL",
            "\u017f",
            "\u0130",
            "\ufb01",
            "👩‍🔬",
        ]
    )
).map("".join)


@fuzz(anything | pieces, examples=200)
def test_any_text_has_tokens(text: str, folder: Path) -> None:
    rows = TOKENIZER([text])
    row = rows[0].tolist()
    assert row[0] == TOKENIZER.start
    length = row.index(TOKENIZER.end, 1) + 1
    assert 0 <= min(row) <= max(row) <= TOKENIZER.end
    assert "<end_of_text>" in text.lower() or not any(row[length:])


@pytest.mark.skipif(not MINUTES, reason="open_clip takes seconds to import")
@fuzz(st.text() | pieces, examples=10)
def test_any_text_has_open_clips_tokens(text: str, folder: Path) -> None:
    assert TOKENIZER([text]).tolist() == open_clips_tokenizer()([text]).tolist()


@functools.cache
def open_clips_tokenizer() -> Callable[[list[str]], Any]:
    import open_clip

    return open_clip.SimpleTokenizer(context_length=77)


@fuzz(st.lists(anything | pieces, max_size=6), examples=300)
def test_any_words_are_a_vocabulary_or_refused(words: list[str], folder: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", WordmaskWarning)
            vocabulary = Vocabulary.parse(words, background=["sky"])
    except VocabularyError as error:
        assert str(error).isprintable()
        return
    assert all(name and name == name.strip() and name.encode() for name in vocabulary.names)
    seen: dict[tuple[int, ...], int] = {}
    for number, synonyms in enumerate([*vocabulary.classes, vocabulary.background]):
        TOKENIZER(synonyms)
        for word in synonyms:  # however long: the embedder refuses words that are equal up to CLIP's length
            tokens = [*TOKENIZER.encode(f"a photo of a {word}."), TOKENIZER.end]
            read = tuple(tokens[: tokens.index(TOKENIZER.end)])  # CLIP's embedding is that of the first end token
            assert seen.setdefault(read, number) == number


plain = gzip.decompress(MERGES.read_bytes())[:3000]
damaged = st.tuples(st.integers(0, len(plain)), st.binary(max_size=20), st.integers(0, 30)).map(
    lambda change: plain[: change[0]] + change[1] + plain[change[0] + change[2] :]
)


@fuzz(st.binary() | damaged | damaged.map(gzip.compress) | st.binary().map(lambda end: b"\x1f\x8b" + end), examples=100)
def test_a_merges_file_is_read_or_refused(content: bytes, folder: Path) -> None:
    (folder / "merges").write_bytes(content)
    try:
        Tokenizer(folder / "merges", vocabulary_size=514 + 40)(["a word"])
    except BundleError as error:
        assert str(error).isprintable()
