"""A graph that is loaded when it first runs."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask import Segmenter
from wordmask.backends.lazy import LazyGraph
from wordmask.text.vocabulary import Vocabulary


class Doubling:
    preferred_batch_size = 3

    def __init__(self):
        self.cancelled = False

    def run(self, inputs, keep=()):
        if self.cancelled:
            raise RuntimeError("cancelled")
        return {name: 2 * value for name, value in inputs.items()}

    def cancel(self):
        self.cancelled = True


@pytest.fixture
def loads():
    return []


@pytest.fixture
def graph(loads):
    def load():
        loads.append(Doubling())
        return loads[-1]

    return LazyGraph(load)


def test_it_is_loaded_once_and_not_before_it_is_used(graph, loads):
    assert not loads
    assert graph.run({"x": np.ones(2)})["x"].tolist() == [2, 2]
    assert graph.preferred_batch_size == 3
    assert len(loads) == 1


def test_cancelling_loads_nothing_and_ends_later_runs(graph, loads):
    graph.cancel()
    assert not loads
    with pytest.raises(RuntimeError, match="cancelled"):
        graph.run({})


def test_cancelling_ends_runs_of_a_loaded_graph(graph):
    graph.run({})
    graph.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        graph.run({})


def test_known_words_need_neither_the_text_tower_nor_the_tokenizer(tmp_path, monkeypatch):
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path))
    words = Vocabulary.parse(["red striped"])
    first = Segmenter("tiny", threads=1).embed(words).embeddings
    monkeypatch.setattr("wordmask.text.embedder.Tokenizer", None)
    later = Segmenter("tiny", threads=1)
    np.testing.assert_array_equal(later.embed(words).embeddings, first)
    assert not later.graphs["clip_text"].is_loaded
