"""Words to embeddings: prompt templates, CLIP's text graph, and a cache that survives the process."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.backends import Graph, run_to_host
from wordmask.backends.device import parse_device
from wordmask.backends.lazy import LazyGraph
from wordmask.backends.load import load_graph
from wordmask.bundle.manifest import Clip
from wordmask.bundle.opening import PipelineBundle
from wordmask.errors import VocabularyError
from wordmask.system.files import new_file
from wordmask.system.user_cache import user_cache
from wordmask.text.cleaning import clean
from wordmask.text.queries import Queries
from wordmask.text.tokenizer import Tokenizer
from wordmask.text.vocabulary import Vocabulary

BATCH = 64  # prompts a run
WORDS_AT_ONCE = 256  # all their prompts' embeddings are held; once done they are kept, should the process end
logger = logging.getLogger(__name__)


class WordEmbedder:
    """Embeds words with a bundle's text graph; what it embedded once, it keeps in memory and on disk."""

    def __init__(self, graph: Graph, merges: Path, constants: Clip, cache: Path | None) -> None:
        """Args: merges is the tokenizer's file; cache is a folder of this bundle alone, or None for memory only."""
        self._graph = graph
        self._merges = merges
        self._constants = constants
        self._cache = cache
        self._known: dict[str, Floats] = {}

    @classmethod
    def of_bundle(cls, bundle: PipelineBundle, graph: Graph) -> WordEmbedder:
        """Of a bundle's text graph, with the user's cache."""
        manifest = bundle.manifest
        merges = bundle.path(manifest.clip.merges).absolute()  # it is read later, maybe from another folder
        return cls(graph, merges, manifest.clip, user_cache() / "words" / manifest.bundle_id)

    @classmethod
    def on_cpu(cls, bundle: PipelineBundle, *, threads: int | None) -> WordEmbedder:
        """On this machine's CPU; the graph is loaded at the first word that is not in the cache."""
        load = partial(load_graph, bundle, "clip_text", parse_device("cpu"), threads=threads)
        return cls.of_bundle(bundle, LazyGraph(load))

    def embed(self, vocabulary: Vocabulary) -> Queries:
        """Embeds a vocabulary, the background last.

        Raises:
            VocabularyError: words of two classes differ only beyond what CLIP reads.
        """
        classes = [*vocabulary.classes, vocabulary.background] if vocabulary.background else list(vocabulary.classes)
        self._refuse_equal_beginnings(classes)
        words = [word for synonyms in classes for word in synonyms]
        starts = np.cumsum([0, *(len(synonyms) for synonyms in classes[:-1])])
        return Queries(vocabulary, self(words), tuple(starts.tolist()))

    def _refuse_equal_beginnings(self, classes: Sequence[Sequence[str]]) -> None:
        """Long words are cut to CLIP's length: two that are equal up to there would share their probability."""
        certain = (
            self._constants.context_length - 2
        ) // 2  # tokens, and so bytes, of a word that every template leaves
        alike: dict[str, list[tuple[int, str]]] = {}
        for index, synonyms in enumerate(classes):
            for word in synonyms:
                if len(word.encode()) > certain:  # a letter has 4 bytes at most
                    alike.setdefault(clean(word)[: certain // 4], []).append((index, word))
        for words in alike.values():
            if len({index for index, _ in words}) > 1:
                self._refuse_equal_tokens(words)

    def _refuse_equal_tokens(self, words: Sequence[tuple[int, str]]) -> None:
        templates, seen = self._constants.templates, dict[bytes, tuple[int, str]]()
        for index, word in words:
            tokens = self._tokenizer([template.replace("{}", word) for template in templates])
            first, other = seen.setdefault(tokens.tobytes(), (index, word))
            if first != index:
                found = f"{word[:40]!r}... and {other[:40]!r}... differ only beyond what CLIP reads"
                raise VocabularyError(f"{found}, and it could not tell them apart: shorten them, or make them one line")

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        """Made for the first word that is not in the cache: it takes longer than a small bundle's graphs."""
        return Tokenizer(self._merges, context_length=self._constants.context_length)

    def __call__(self, words: Sequence[str]) -> Floats:
        """Unit embeddings f32 (len(words), D): each the normalised mean over all templates."""
        for word in words:
            if word not in self._known and (stored := self._read(word)) is not None:
                self._known[word] = stored
        new = [word for word in dict.fromkeys(words) if word not in self._known]
        for start in range(0, len(new), WORDS_AT_ONCE):
            part = new[start : start + WORDS_AT_ONCE]
            for word, embedding in zip(part, self.compute(part), strict=True):
                self._known[word] = embedding
                self._write(word, embedding)
        return np.stack([self._known[word] for word in words])

    def compute(self, words: Sequence[str]) -> Floats:
        """The same, computed without the caches."""
        templates = self._constants.templates
        self._warn_of_long_words(words)
        tokens = self._tokenizer([template.replace("{}", word) for word in words for template in templates])
        embeddings = run_by_length(self._graph, tokens, self._constants.dim)
        mean = embeddings.reshape(len(words), len(templates), -1).mean(axis=1)
        unit: Floats = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return unit

    def _warn_of_long_words(self, words: Sequence[str]) -> None:
        for word in words:
            count = len(self._tokenizer.encode(word)) + 2
            if count > self._constants.context_length:
                logger.warning(
                    "%r... is %d tokens long; CLIP reads the first %d", word[:40], count, self._constants.context_length
                )

    def _path(self, word: str) -> Path | None:
        return self._cache / f"{hashlib.sha256(word.encode()).hexdigest()}.f32" if self._cache else None

    def _read(self, word: str) -> Floats | None:
        """The embedding as it was written, its bare numbers; None where there is none, or it is damaged."""
        path = self._path(word)
        try:
            content = path.read_bytes() if path is not None and path.is_file() else b""
        except OSError:
            return None
        if len(content) != 4 * self._constants.dim:
            return None
        stored = np.frombuffer(content, np.float32)
        return stored if abs(float(np.linalg.norm(stored)) - 1) < 1e-3 else None

    def _write(self, word: str, embedding: Floats) -> None:
        path = self._path(word)
        if path is None:
            return
        try:  # a cache that cannot be written costs time, not results
            path.parent.mkdir(parents=True, exist_ok=True)
            part, descriptor = new_file(path.parent)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(embedding.tobytes())
            part.replace(path)
        except OSError as error:
            logger.warning("%s: the embeddings of words cannot be kept there (%s)", path.parent, error)
            self._cache = None


def run_by_length(graph: Graph, tokens: NDArray[np.int32], dim: int) -> Floats:
    """Embeds prompts i32 (T, L) in batches of like length, each cut to its longest: (T, dim).

    The towers' mask is causal, so the zeros after the end token cannot matter.
    """
    lengths = tokens.argmax(axis=1) + 1  # the end token has the largest number
    order = lengths.argsort(kind="stable")
    embeddings = np.empty((len(tokens), dim), np.float32)
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        cut = np.ascontiguousarray(tokens[batch, : lengths[batch].max()])
        embeddings[batch] = run_to_host(graph, {"tokens": cut})["embeddings"]
    return embeddings
