"""Turns words into CLIP's token ids without torch.

The exporter's tokenizer lives in open_clip, which imports torch. This one reads the same merges file and gives the same
ids: text is repaired, lower-cased and split into chunks; the UTF-8 bytes of a chunk are joined by byte-pair encoding
(Sennrich et al. 2016, arXiv:1508.07909) in the order of the merges file.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordmask.errors import BundleError
from wordmask.text.cleaning import END, START, chunks

_WORD_END = "</w>"
_CACHED_CHUNKS = 1 << 16
_MOST_BYTES = 64 << 20  # of a merges file, unpacked; CLIP's has 3 MB


class Tokenizer:
    """CLIP's byte-pair tokenizer, equal to open_clip.SimpleTokenizer.

    Attributes:
        context_length: tokens a row of the result has.
        start: id of the token every row begins with.
        end: id of the token every text ends with.
    """

    def __init__(self, merges: str | Path, *, context_length: int = 77, vocabulary_size: int = 49408) -> None:
        """Reads the merges file.

        Args:
            merges: open_clip's bpe_simple_vocab_16e6.txt.gz, or the same text uncompressed.
            context_length: tokens a row, start and end included; at least 2.
            vocabulary_size: number of ids. It decides how many merges are used: all but 512 bytes and two special ids.

        Raises:
            BundleError: the merges file is missing or is not one.
            ValueError: context_length or vocabulary_size is too small.
        """
        if context_length < 2:
            raise ValueError(f"context_length is {context_length}: it must be at least 2, for the start and end tokens")
        alphabet = _byte_alphabet()
        symbols = [*alphabet, *(symbol + _WORD_END for symbol in alphabet)]
        pairs = _read_merges(Path(merges), vocabulary_size - len(symbols) - 2)
        symbols += ["".join(pair) for pair in pairs] + [START, END]
        self.context_length = context_length
        self._ids = {symbol: index for index, symbol in enumerate(symbols)}
        self.start = self._ids[START]
        self.end = self._ids[END]
        self._ranks = {pair: rank for rank, pair in enumerate(pairs)}
        # The alphabet lists the bytes in the order of their ids, which is not the order of their values.
        self._byte_symbols = dict(zip(_byte_order(), alphabet, strict=True))
        self._chunk_ids = lru_cache(maxsize=_CACHED_CHUNKS)(self._encode_chunk)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Tokens of each text between start and end, padded with zeros.

        A text with more than context_length - 2 tokens is cut; its last token is still the end token.

        Args:
            texts: N texts of any length.

        Returns:
            i32 (N, context_length).

        Raises:
            TypeError: texts is one string instead of a sequence of them.
        """
        if isinstance(texts, str):
            raise TypeError(f"texts is the string {texts!r}: give a sequence of strings, such as [{texts!r}]")
        tokens = np.zeros((len(texts), self.context_length), np.int32)
        for row, text in zip(tokens, texts, strict=True):
            ids = [self.start, *self.encode(text)[: self.context_length - 2], self.end]
            row[: len(ids)] = ids
        return tokens

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without start and end and however many there are.

        A text is cut by a call if this has more than context_length - 2 ids. A special token that is spelled out in
        the text ("<end_of_text>") becomes its id, as in open_clip.
        """
        return [index for chunk in chunks(text) for index in self._chunk_ids(chunk)]

    def _encode_chunk(self, chunk: str) -> tuple[int, ...]:
        # The pattern ignores case even for letters that str.lower keeps ("ſ" matches "s"): such a match is plain text.
        if chunk in (START, END):
            return (self._ids[chunk],)
        word = [self._byte_symbols[byte] for byte in chunk.encode("utf-8")]
        word[-1] += _WORD_END
        return tuple(self._ids[symbol] for symbol in self._merge(word))

    def _merge(self, word: list[str]) -> list[str]:
        """Joins neighbours, the pair that stands first in the merges file first, until no pair of the file is left."""
        last = len(self._ranks)
        while len(word) > 1:
            best = min(pairwise(word), key=lambda pair: self._ranks.get(pair, last))
            if best not in self._ranks:
                break
            word = _join(word, best)
        return word


def _join(word: list[str], pair: tuple[str, str]) -> list[str]:
    """Replaces each occurrence of the pair by one symbol, from left to right and without overlap."""
    joined: list[str] = []
    position = 0
    while position < len(word):
        if word[position] == pair[0] and word[position + 1 : position + 2] == [pair[1]]:
            joined.append(pair[0] + pair[1])
            position += 2
        else:
            joined.append(word[position])
            position += 1
    return joined


def _byte_order() -> list[int]:
    """The 256 bytes as CLIP numbers them: first those that are printable in Latin-1, then the rest."""
    printable = [byte for byte in range(256) if chr(byte).isprintable() and chr(byte) != " "]
    return printable + [byte for byte in range(256) if byte not in printable]


def _byte_alphabet() -> list[str]:
    """One visible character a byte, in that order: itself if printable, else the next one from U+0100 on."""
    order = _byte_order()
    rest = [byte for byte in order if not chr(byte).isprintable() or chr(byte) == " "]
    return [chr(0x100 + rest.index(byte)) if byte in rest else chr(byte) for byte in order]


def _read_merges(path: Path, count: int) -> list[tuple[str, str]]:
    """The first `count` pairs of a merges file, after its version line."""
    if count < 1:
        raise ValueError(f"vocabulary_size leaves {count} merges: it must be above 514 (512 bytes, two special ids)")
    wanted = (
        "expected CLIP's merges file (bpe_simple_vocab_16e6.txt, plain or gzip'ed); restore it or rebuild the bundle"
    )
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8")
    except OSError as error:  # gzip.BadGzipFile is one
        raise BundleError(f"tokenizer {str(path)!r} cannot be read ({error.strerror or error}): {wanted}") from error
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BundleError(f"tokenizer {str(path)!r} is damaged ({error}): {wanted}") from error
    header, *lines = text.split("\n", count + 1)
    if "#version" not in header:
        raise BundleError(f"tokenizer {str(path)!r} begins with {header[:40]!r}, not with a version line: {wanted}")
    pairs: list[tuple[str, str]] = []
    for line in lines[:count]:
        parts = line.split()
        if len(parts) != 2:
            break
        pairs.append((parts[0], parts[1]))
    if len(pairs) < count:
        number = len(pairs) + 2
        raise BundleError(f"tokenizer {str(path)!r} has no pair in line {number} of {count + 1}: {wanted}")
    return pairs
