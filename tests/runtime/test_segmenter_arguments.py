"""What a caller may put into a Segmenter: graphs, a source of prompts and of masks, a timer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wordmask import Options, Segmenter, pipeline
from wordmask.objects.prompts import extract_prompts
from wordmask.objects.sam2 import decode_prompts
from wordmask.photo.reading import decode
from wordmask.text.vocabulary import Vocabulary
from wordmask.timing import StageTimer
from wordmask.types import Prompt

WORDS = Vocabulary.parse(["red striped", "blue"], ["grass"])


@pytest.fixture(scope="module")
def tiny(fast_tiny):
    return Segmenter(fast_tiny, threads=1)


@pytest.fixture(scope="module")
def scene(examples):
    return np.ascontiguousarray(decode(examples.parent / "scenes" / "01.png")[:160, :200])


def test_prompts_come_from_the_given_source(tiny, scene):
    seen = []

    def source(class_map, confidence, count, options):
        seen.append((class_map.shape, confidence.shape, count))
        return [Prompt(1, np.array([[100, 80]], np.float32), np.ones(1, np.int32), 0.5, 10)]

    segmenter = Segmenter(tiny.bundle, loaded=tiny.loaded, threads=1, prompt_source=source)
    found = segmenter.segment(scene, segmenter.embed(WORDS), Options())
    assert seen == [((160, 200), (160, 200), 2)]
    assert found.prompt_count == 1
    assert {instance.word for instance in found.instances} <= {"blue"}


def test_masks_come_from_the_given_source(tiny, scene):
    def whole_photo(decoder, encoded, prompts):
        assert decoder.graph is tiny.graphs["sam2_mask_decoder"]
        low_res, iou = decode_prompts(decoder, encoded, prompts)
        return np.full_like(low_res, 9), iou

    segmenter = Segmenter(tiny.bundle, loaded=tiny.loaded, threads=1, mask_source=whole_photo)
    queries, options = (
        segmenter.embed(WORDS),
        Options(min_confidence=0.3, min_region_size=50, min_score=0.0, across_words_iou=1.0),
    )
    found = segmenter.segment(scene, queries, options)
    dense = tiny.class_map(scene, queries, options)
    classes = {prompt.class_index for prompt in extract_prompts(dense.index, dense.confidence, 2, options)}
    assert sorted(instance.class_index for instance in found.instances) == sorted(classes)  # the others are duplicates
    assert {instance.area for instance in found.instances} == {160 * 200}


def test_given_graphs_are_run_instead_of_loading(tiny, scene):
    runs = []

    class Counted:
        preferred_batch_size = None
        cancel = tiny.graphs["clip_image"].cancel

        def run(self, inputs, keep=()):
            runs.append(len(inputs["image"]))
            return tiny.graphs["clip_image"].run(inputs, keep)

    loaded = replace(tiny.loaded, graphs={**tiny.graphs, "clip_image": Counted()})
    segmenter = Segmenter(tiny.bundle, device="cuda", loaded=loaded, threads=1)  # the device is not asked for
    queries = segmenter.embed(WORDS)
    found, expected = (each.class_map(scene, queries, Options()) for each in (segmenter, tiny))
    assert sum(runs) > 0
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.confidence, expected.confidence)


def test_a_timer_takes_the_seconds_of_each_stage_and_may_be_left_out(tiny, scene):
    queries, timer = tiny.embed(WORDS), StageTimer()
    timed = tiny.segment(scene, queries, Options(), timer)
    assert timed.seconds is timer.seconds
    assert {"clip", "loftup", "class_map", "prompts", "sam2_encoder", "sam2_decoder", "masks"} <= set(timer.seconds)
    assert set(tiny.segment(scene, queries, Options()).seconds) == set(timer.seconds)
    assert pipeline.Clock is StageTimer  # its former name


def test_labels_are_the_classes_from_one_on_and_zero_for_the_background(tiny, scene):
    dense = tiny.class_map(scene, tiny.embed(WORDS), Options())
    assert {0, 2} <= set(np.unique(dense.index))  # 2 is the background
    labels = dense.labels(2)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, np.where(dense.index < 2, dense.index + 1, 0))
