"""SCLIP's way from similarities to classes, against a plain writing of its postprocessing; the published numbers."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.resize import bilinear
from wordmask.text.queries import Queries
from wordmask_bench.datasets import DatasetError
from wordmask_bench.datasets.protocol import PROTOCOLS, Protocol, class_names, parse_classes
from wordmask_bench.quality import sclip_protocol
from wordmask_bench.quality.sclip_protocol import predict, too_small, vocabulary

CLASSES = (("ground", "sky"), ("cat",), ("dog", "puppy", "hound"), ("bird",))
SIZE = (37, 29)


def queries_of(classes, protocol):
    """Words as Segmenter.embed puts them, the background last."""
    words = vocabulary(classes, protocol)
    counts = [len(synonyms) for synonyms in (*words.classes, words.background) if synonyms]
    starts = np.cumsum([0, *counts[:-1]])
    return Queries(words, np.zeros((sum(counts), 1), np.float32), tuple(starts.tolist()))


def by_sclip(logits, class_of_word, protocol):
    """clip_segmentor.py, postprocess_result, of logits (Q, H, W) in the order of its list of words."""
    logits = logits * np.float32(protocol.logit_scale)
    share = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
    one_hot = np.eye(max(class_of_word) + 1)[class_of_word].T[:, :, None, None]
    share = (share[None] * one_hot).max(1)
    if protocol.min_area is not None:
        chosen = np.eye(len(share))[share.argmax(0)][:, :, 1:].sum((0, 1))
        share[1:] *= (chosen > protocol.min_area * chosen.sum())[:, None, None]
    index = share.argmax(0)
    index[share.max(0) < protocol.min_probability] = 0
    return index


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(logit_scale=20),
        Protocol(logit_scale=20, background=True, min_probability=0.45),
        Protocol(logit_scale=20, background=True, min_probability=0.45, min_area=0.3),
    ],
    ids=["plain", "probability", "area"],
)
def test_classes_are_those_of_sclips_own_postprocessing(protocol, monkeypatch):
    monkeypatch.setattr(sclip_protocol, "STRIP_BYTES", 4 * 7 * SIZE[1] * 5)  # strips of five rows
    logits = np.random.default_rng(1).normal(0, 0.1, (7, 9, 8)).astype(np.float32)  # in SCLIP's order
    logits[2] += 0.08  # cats are many, birds few
    logits[6] -= 0.05
    class_of_word = [index for index, synonyms in enumerate(CLASSES) for _ in synonyms]
    expected = by_sclip(bilinear(logits, SIZE), class_of_word, protocol)
    ours = np.roll(logits, -2, axis=0) if protocol.background else logits
    found = predict(ours, queries_of(CLASSES, protocol), SIZE, protocol, protocol.logit_scale)
    np.testing.assert_array_equal(found.index, expected)
    assert (3 in expected) == (protocol.min_area is None)  # the threshold has something to drop


def test_a_probability_is_that_of_the_likeliest_synonym_among_all_words():
    logits = np.log(np.array([0.3, 0.2, 0.1, 0.35, 0.03, 0.01, 0.01], np.float32))[:, None, None]
    found = predict(logits, queries_of(CLASSES, Protocol()), (1, 1), Protocol(), 1.0)
    np.testing.assert_allclose(found.best, [0.3, 0.1, 0.35, 0.01], rtol=1e-5)  # no sums over synonyms
    assert found.index == 2
    np.testing.assert_allclose(found.confidence, 0.35, rtol=1e-5)


def test_of_equal_classes_the_first_wins_and_the_background_is_the_first():
    protocol = Protocol(background=True)
    found = predict(np.zeros((7, 2, 2), np.float32), queries_of(CLASSES, protocol), (2, 2), protocol, 1.0)
    assert (found.index == 0).all()


def test_a_class_of_just_the_share_is_too_small_and_the_background_never_is():
    np.testing.assert_array_equal(too_small(np.array([1, 50, 10, 40]), 0.1), [False, False, True, False])
    np.testing.assert_array_equal(too_small(np.array([9, 0, 0, 0]), 0.1), [False, True, True, True])


def test_words_shared_by_the_background_and_a_class_stay_in_both():
    words = vocabulary(class_names("coco-object"), PROTOCOLS["coco-object"])
    assert "bed" in words.background
    assert ("bed",) in words.classes
    assert len(words.classes) == 80


@pytest.mark.parametrize(
    ("dataset", "classes", "words", "scale", "side"),
    [
        ("voc21", 21, 56, 65, 336),
        ("voc20", 20, 30, 40, 336),
        ("context59", 59, 59, 40, 336),
        ("context60", 60, 60, 50, 336),
        ("coco-object", 81, 113, 50, 336),
        ("coco-stuff", 171, 171, 40, 448),
        ("cityscapes", 19, 19, 40, 560),
        ("ade20k", 150, 150, 40, 336),
    ],
)
def test_each_dataset_has_sclips_words_and_numbers(dataset, classes, words, scale, side):
    names, protocol = class_names(dataset), PROTOCOLS[dataset]
    assert (len(names), sum(map(len, names))) == (classes, words)
    assert (protocol.logit_scale, protocol.short_side) == (scale, side)
    assert protocol.background == (dataset in ("voc21", "context60", "coco-object"))
    assert protocol.min_probability == (0.1 if protocol.background else 0.0)
    assert protocol.min_area == (0.1 if dataset == "voc21" else None)


def test_names_stand_at_the_datasets_own_numbers():
    assert class_names("voc21")[15][:2] == ("person", "person in shirt")
    assert class_names("voc20")[19][-1] == "screen"
    assert class_names("context60")[0] == ("background",)
    assert class_names("context59")[36] == ("person",)
    assert class_names("coco-stuff")[80] == ("banner",)
    assert class_names("cityscapes")[12] == ("rider",)
    assert class_names("ade20k")[149] == ("flag",)


def test_classes_of_the_same_name_are_refused():
    with pytest.raises(DatasetError, match="classes 0 and 2 both have the word 'cat'"):
        parse_classes(["cat, kitten", "dog", "cat"])
    for lines in (["cat", "kitten", "Cat"], ["t-shirt", "x", "hat, T - shirt"], ["caf\u00e9, bar", "inn", "bar  "]):
        with pytest.raises(DatasetError, match="classes 0 and 2 both have the word"):
            parse_classes(lines)
    for line in (" , ", "&nbsp;", "\ufeff"):
        with pytest.raises(DatasetError, match="class 1 has no word"):
            parse_classes(["cat", line])


def test_thresholds_need_a_background():
    with pytest.raises(ValueError, match="class 0"):
        Protocol(min_probability=0.1)
