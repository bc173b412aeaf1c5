"""Word embeddings: equal to open_clip's ensemble, and computed once."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import VocabularyError
from wordmask.text import embedder as words
from wordmask.text.embedder import WordEmbedder
from wordmask.text.vocabulary import Vocabulary


class Counting:
    def __init__(self, graph):
        self.graph, self.prompts, self.lengths = graph, 0, []

    def run(self, inputs):
        self.prompts += len(inputs["tokens"])
        self.lengths.append(inputs["tokens"].shape[1])
        return self.graph.run(inputs)

    def cancel(self):
        self.graph.cancel()


@pytest.fixture
def make(small_bundle):
    clip = read_manifest(small_bundle).clip
    entry = read_manifest(small_bundle).graphs["clip_text"]
    graph = OrtGraph(small_bundle / entry.file, entry, device="cpu")

    def embedder(cache=None):
        counting = Counting(graph)
        return WordEmbedder(counting, small_bundle / clip.merges.file, clip, cache), counting

    return embedder


def test_a_word_is_the_mean_of_its_templates(make, small_models):
    pytest.importorskip("torch")
    import open_clip
    import torch.nn.functional as F

    embedder, _ = make()
    found = embedder(["traffic light", "çedilla"])
    for row, word in zip(found, ["traffic light", "çedilla"], strict=True):
        tokens = open_clip.tokenize([template(word) for template in open_clip.OPENAI_IMAGENET_TEMPLATES])
        unit = F.normalize(small_models.clip.encode_text(tokens), dim=-1)
        np.testing.assert_allclose(row, F.normalize(unit.mean(0), dim=0), atol=1e-5)


def test_prompts_are_cut_to_their_length(make):
    embedder, counting = make()
    embedder(["cat"])
    assert counting.prompts == 80
    assert max(counting.lengths) < 20


def test_a_known_word_is_not_embedded_again(make, tmp_path):
    embedder, counting = make(tmp_path / "c")
    first = embedder(["cat", "dog", "cat"])
    np.testing.assert_array_equal(first[0], first[2])
    embedder(["dog"])
    assert counting.prompts == 160
    again, counting = make(tmp_path / "c")
    np.testing.assert_array_equal(again(["dog", "cat"]), first[[1, 0]])
    assert counting.prompts == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"x", bytes(4 * 48), b"\xff" * 4 * 48, np.full(49, 1 / 7, np.float32).tobytes()],
    ids=["empty", "short", "zero", "nan", "long"],
)
def test_a_damaged_cache_entry_is_made_again(make, tmp_path, content):
    embedder, _ = make(tmp_path)
    expected = embedder(["cat"])
    (path,) = tmp_path.iterdir()
    path.write_bytes(content)
    again, counting = make(tmp_path)
    np.testing.assert_array_equal(again(["cat"]), expected)
    assert counting.prompts == 80
    np.testing.assert_array_equal(np.fromfile(path, np.float32), expected[0])


def test_a_cache_that_cannot_be_written_is_a_warning(make, tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    embedder, _ = make(tmp_path / "file" / "sub")
    assert embedder(["cat"]).shape == (1, 48)
    assert "cannot be kept" in caplog.text


def test_a_word_beyond_clips_length_is_warned_of(make, caplog):
    embedder, _ = make()
    with caplog.at_level(logging.WARNING):
        embedder([" ".join(["elephant"] * 90)])
    assert "CLIP reads the first 77" in caplog.text


def test_words_that_differ_only_beyond_clips_length_are_refused(make):
    embedder, counting = make()
    long = "elephant " * 74
    apart = Vocabulary.parse([f"{long} in a tree", "cat", f"lion {long}"])
    assert embedder.embed(apart).class_starts == (0, 1, 2)
    before = counting.prompts
    message = r"'elephant elephant .*'\.\.\. and '.*'\.\.\. differ only beyond what CLIP reads"
    for lines, background in ([f"{long} in a tree", "cat", f"cub, {long} in a house"], []), ([long], [f"{long} grey"]):
        with pytest.raises(VocabularyError, match=message):
            embedder.embed(Vocabulary.parse(lines, background))
    assert counting.prompts == before
    synonyms = Vocabulary.parse([f"{long} in a tree, {long} in a house"])
    assert len(embedder.embed(synonyms).embeddings) == 2


def test_of_many_words_each_part_is_kept_when_it_is_done(make, tmp_path, monkeypatch):
    monkeypatch.setattr(words, "WORDS_AT_ONCE", 2)
    many = ["cat", "dog", "cup", "mug", "car"]
    embedder, _ = make(tmp_path / "whole")
    whole = embedder(many)
    stopped, counting = make(tmp_path / "c")
    embed = counting.run
    monkeypatch.setattr(counting, "run", lambda inputs: 1 / 0 if counting.prompts >= 160 else embed(inputs))
    with pytest.raises(ZeroDivisionError):
        stopped(many)
    again, counting = make(tmp_path / "c")
    np.testing.assert_allclose(again(many), whole, atol=1e-6)
    assert counting.prompts == 3 * 80


def test_emoji_and_other_scripts_are_words(make):
    embedder, _ = make()
    found = embedder(["👩\u200d🔬", "猫", "кот", "İstanbul"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert len(np.unique(found.round(4), axis=0)) == 4
