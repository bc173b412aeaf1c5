"""Vocabularies of any size: what is computed for many words is what would be computed for few."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from wordmask import Options, Segmenter
from wordmask.dense import branch as dense
from wordmask.dense import similarities
from wordmask.run.find_photos import find_photos
from wordmask.run.local import run_folder
from wordmask.run.request import OutputOptions, RunRequest
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def tiny():
    return Segmenter("tiny", threads=1)


@pytest.fixture(scope="module")
def scene(examples):
    return np.asarray(Image.open(examples.parent / "scenes" / "01.png"))


def made_up(count, dim, *, synonyms=1):
    """Words with random embeddings: to embed ten thousand takes an hour."""
    embeddings = np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    lines = [", ".join(f"word {i}" for i in range(start, start + synonyms)) for start in range(0, count, synonyms)]
    return Queries(Vocabulary.parse(lines), embeddings, tuple(range(0, count, synonyms)))


WAYS = {
    "bilinear": Options(use_loftup=False),
    "windows": Options(upsample="selective"),
    "image": Options(upsample="selective", upsample_scope="image"),
    "pamr": Options(use_loftup=False, pamr=True),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_the_axes_of_the_words_space_do_for_the_words(tiny, scene, monkeypatch, way):
    monkeypatch.setattr(
        dense, "MAX_UNDECIDED_SHARE", 1.0
    )  # else LoftUp is evaluated everywhere: random words leave all open
    monkeypatch.setattr(dense, "MARGIN", 0.1)
    monkeypatch.setattr(dense, "BORDER", 1)
    queries = made_up(60, tiny.manifest.clip.dim, synonyms=3)
    assert len(queries.embeddings) > tiny.manifest.clip.dim

    def class_map():
        return tiny.class_map(scene[100:116], queries, WAYS[way])

    words = class_map()
    monkeypatch.setattr(similarities, "MOST_WORDS", 1)
    axes = class_map()
    np.testing.assert_allclose(axes.best, words.best, rtol=1e-3)
    np.testing.assert_allclose(axes.confidence, words.confidence, rtol=1e-3)
    assert (axes.index != words.index).mean() < 1e-3  # of classes that tie


def test_ten_thousand_words_from_the_photo_to_its_outputs(tiny, scene, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(scene[100:108, :256]).save(tmp_path / "in" / "strip.png")
    queries, out = made_up(10_000, tiny.manifest.clip.dim), tmp_path / "out"
    options = Options(use_loftup=False, min_confidence=0.0, min_region_size=20)
    tracemalloc.start()
    try:
        outputs, settings = OutputOptions(overlay=True, save_dense=True), {"vocabulary": queries.vocabulary.names}
        jobs = find_photos([tmp_path / "in"])
        record = run_folder(tiny, RunRequest(jobs, queries, out, options, outputs, settings=settings))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert record.totals.statuses == {"ok": 1}
    assert most < 200 << 20  # the similarities of all pixels with all words would take 1.3 GB
    dense, semantic = (np.asarray(Image.open(out / kind / "strip.png")) for kind in ("dense", "semantic"))
    assert dense.dtype == semantic.dtype == np.uint16
    assert 255 < dense.max() <= 10_000
    objects = json.loads((out / "annotations.json").read_text())
    assert len(objects["categories"]) == 10_000
    assert {annotation["category_id"] for annotation in objects["annotations"]} >= set(np.unique(semantic)) - {0}
    row = json.loads((out / "journal.jsonl").read_text())
    assert len(row["word_confidence"]) == 10_000
