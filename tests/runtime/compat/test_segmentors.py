"""The drop-in names: what the PyTorch pipeline gave, by today's stages."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from wordmask import Options, Segmenter
from wordmask.compat import (
    LoftUpSCLIPSegmentor,
    SCLIPSegmentor,
    extract_prompt_points_from_upsampled,
    merge_overlapping_masks,
    segment_with_guided_prompts,
)
from wordmask.dense import photo_features
from wordmask.dense.encoder import encode_windows
from wordmask.dense.loftup import window_inputs
from wordmask.dense.photo_features import enlarge
from wordmask.dense.windows import cut_windows, resize_for_clip
from wordmask.errors import BundleError, VocabularyError
from wordmask.objects.masks import drop_duplicates, upsample
from wordmask.photo.reading import decode
from wordmask.rle import decode as decode_rle

WORDS = ["red dotted", "green striped", "brown tiled", "white grainy"]


@pytest.fixture(scope="module")
def photo(examples):
    """A part of a scene, of a size at which windows overlap and reach beyond no edge."""
    return decode(examples.parent / "scenes" / "04.png")[:, :400]


@pytest.fixture(scope="module")
def segmentor(fast_tiny):
    return LoftUpSCLIPSegmentor(verbose=False, bundle=fast_tiny)


@pytest.fixture(scope="module")
def predicted(segmentor, photo):
    return segmentor.predict_dense(photo, WORDS)


def of_one_call(segmentor, photo):
    """The same by the one call that new code makes, without what the PyTorch script does not do."""
    unchecked = {"mask_pieces": "all", "min_score": 0.0, "across_words_iou": 1.0, "mask_prompts": False}
    options = Options(upsample="full", min_region_size=100, **unchecked)
    return segmentor.segmenter(photo, WORDS, background=(), options=options)


@pytest.fixture(scope="module")
def expected(segmentor, photo):
    return of_one_call(segmentor, photo)


def softmax(logits):
    """(C, H, W) logits to (H, W, C) probabilities, as the PyTorch scripts did it."""
    powers = np.exp(logits - logits.max(axis=0))
    return (powers / powers.sum(axis=0)).transpose(1, 2, 0)


def brute_force_merge(results, iou_threshold):
    kept = []
    for result in sorted(results, key=lambda result: -result["confidence"]):
        rivals = [other["mask"] for other in kept if other["class_idx"] == result["class_idx"]]
        ious = [(mask & result["mask"]).sum() / (mask | result["mask"]).sum() for mask in rivals]
        if result["mask"].any() and all(iou <= iou_threshold for iou in ious):
            kept.append(result)
    return kept


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (
            LoftUpSCLIPSegmentor,
            "device='cpu', use_loftup=True, loftup_model_name='loftup_clip', use_sam=False, use_pamr=False, "
            "verbose=True",
        ),
        (SCLIPSegmentor, "device='cpu', use_sam=False, use_pamr=False, verbose=True"),
        (LoftUpSCLIPSegmentor.predict_dense, "self, image, class_names, return_logits=True, return_features=True"),
        (SCLIPSegmentor.predict_dense, "self, image, class_names, return_logits=True"),
        (
            extract_prompt_points_from_upsampled,
            "seg_map, probs, vocabulary, min_confidence=0.7, min_region_size=100",
        ),
        (segment_with_guided_prompts, "image, prompts, checkpoint_path=None, model_cfg=None, device=None"),
        (merge_overlapping_masks, "results, iou_threshold=0.8"),
    ],
    ids=lambda value: value.__qualname__ if callable(value) else "",
)
def test_arguments_that_may_be_given_by_position_are_the_old_ones(function, arguments):
    parameters = inspect.signature(function).parameters.values()
    bare = [p.replace(annotation=p.empty) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert ", ".join(map(str, bare)) == arguments


def test_the_class_map_is_the_segmenters_without_background_words(predicted, expected):
    seg_map, _, _ = predicted
    assert seg_map.dtype == np.int64
    assert (seg_map == expected.dense.astype(np.int64) - 1).mean() > 0.9999  # another graph: ties may fall otherwise


def test_the_softmax_of_the_logits_is_the_confidence(predicted, expected):
    seg_map, logits, _ = predicted
    assert (logits.argmax(axis=0) == seg_map).mean() > 0.9999
    np.testing.assert_allclose(softmax(logits).max(axis=2), expected.confidence, atol=1e-5)


def test_the_logits_of_synonyms_are_the_highest(segmentor, photo):
    apart = segmentor.predict_dense(photo, ["black", "black speckled", "brown tiled"], return_features=False)[1]
    together = segmentor.predict_dense(photo, ["black, black speckled", "brown tiled"], return_features=False)[1]
    np.testing.assert_allclose(together[0], apart[:2].max(axis=0), atol=1e-6)
    np.testing.assert_allclose(together[1], apart[2], atol=1e-6)


def test_logits_are_the_features_product_with_the_words(segmentor, photo, predicted):
    _, logits, features = predicted
    queries = segmentor._queries(WORDS)
    scale = segmentor.segmenter.manifest.clip.logit_scale
    product = np.tensordot(queries.embeddings, features, axes=1) * scale
    assert features.shape == (queries.embeddings.shape[1], *photo.shape[:2])
    np.testing.assert_allclose(logits, product, atol=1e-4)


def test_features_are_the_means_of_the_windows_own(segmentor, photo, predicted):
    """Against whole windows, one by one: no tiles, no batches."""
    segmenter = segmentor.segmenter
    clip, graph = segmenter.manifest.clip, segmenter.graphs["loftup_features"]
    resized = resize_for_clip(photo, clip)
    windows, corners = cut_windows(resized, clip)
    total, count = np.zeros((clip.dim, *resized.shape[:2])), np.zeros(resized.shape[:2])
    for window, (y, x) in zip(windows, corners, strict=True):
        low_res = encode_windows(segmenter.graphs["clip_image"], window[None])
        inputs = window_inputs(window[None], low_res.shape[2:], segmenter.manifest.loftup)
        (found,) = graph.run({**inputs, "features": low_res})["features_out"]
        total[:, y : y + clip.window, x : x + clip.window] += found / np.linalg.norm(found, axis=0)
        count[y : y + clip.window, x : x + clip.window] += 1
    assert count.max() > 1
    np.testing.assert_allclose(predicted[2], enlarge((total / count).astype(np.float32), photo.shape[:2]), atol=1e-5)


def test_a_small_photo_whose_windows_are_padded_has_its_features(segmentor):
    photo = np.random.default_rng(0).integers(0, 256, (7, 90, 3), dtype=np.uint8)  # 80 pixels high where CLIP sees it
    seg_map, logits, features = segmentor.predict_dense(photo, WORDS[:2])
    plain = segmentor.predict_dense(photo, WORDS[:2], return_features=False)[1]
    assert seg_map.shape == features.shape[1:] == (7, 90)
    np.testing.assert_allclose(logits, plain, atol=1e-4)


def test_large_arrays_lie_in_a_file_that_goes_with_them(monkeypatch, tmp_path):
    maps = np.random.default_rng(0).random((20, 5, 6), np.float32)
    expected = enlarge(maps, (11, 13), 2.0)
    monkeypatch.setattr(photo_features, "IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = enlarge(maps, (11, 13), 2.0)
    assert isinstance(found, np.memmap)
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(found, expected)


def test_the_four_steps_give_the_segmenters_masks(segmentor, fast_tiny, examples):
    photo = decode(examples.parent / "scenes" / "05.png")[
        :250
    ]  # without two masks of a word that cover 0.8 of each other
    expected = of_one_call(segmentor, photo)
    seg_map, logits = segmentor.predict_dense(photo, WORDS, return_features=False)[:2]
    prompts = extract_prompt_points_from_upsampled(seg_map, softmax(logits), WORDS)
    results = merge_overlapping_masks(segment_with_guided_prompts(photo, prompts, bundle=fast_tiny))
    assert len(prompts) == expected.prompt_count >= len(expected.instances) > 4
    instances = sorted(expected.instances, key=lambda instance: -instance.clip_confidence)
    assert [result["class_name"] for result in results] == [instance.word for instance in instances]
    for result, instance in zip(results, instances, strict=True):
        np.testing.assert_array_equal(result["mask"], decode_rle(instance.mask))
        assert result["prompt_point"] == tuple(instance.points[0])
        assert result["confidence"] == pytest.approx(instance.clip_confidence, abs=1e-5)
        assert result["sam_score"] == pytest.approx(instance.sam_iou, abs=1e-5)


def test_bilinear_segmentors_are_the_segmenters_without_loftup(photo, segmentor, fast_tiny, capsys):
    expected = segmentor.segmenter(photo, WORDS, background=(), options=Options(use_loftup=False))
    seg_map, logits = SCLIPSegmentor(bundle=fast_tiny).predict_dense(photo, WORDS)
    assert "bilinear upsampling\n[wordmask] clip" in capsys.readouterr().out
    np.testing.assert_array_equal(seg_map, expected.dense.astype(np.int64) - 1)
    same, same_logits, none = LoftUpSCLIPSegmentor(use_loftup=False, verbose=False, bundle=fast_tiny).predict_dense(
        photo, WORDS
    )
    assert none is None
    np.testing.assert_array_equal(same, seg_map)
    np.testing.assert_array_equal(same_logits, logits)
    assert not capsys.readouterr().out


def test_segment_paints_sam2s_masks_where_that_is_asked_for(segmentor, fast_tiny, photo, expected):
    dense = segmentor.segment(photo, WORDS)
    painted = LoftUpSCLIPSegmentor(use_sam=True, verbose=False, bundle=fast_tiny).segment(photo, WORDS)
    np.testing.assert_array_equal(dense, expected.dense.astype(np.int64) - 1)
    np.testing.assert_array_equal(painted, np.where(expected.semantic > 0, expected.semantic - 1.0, dense))
    assert (painted != dense).any()


def test_models_are_loaded_once_while_they_are_in_use(segmentor, fast_tiny, monkeypatch):
    monkeypatch.setattr("wordmask.compat.guided_masks.Segmenter", None)
    other = LoftUpSCLIPSegmentor(bundle=fast_tiny, verbose=False)
    assert other.segmenter is segmentor.segmenter


def test_pamr_refines_the_logits_as_it_does_the_segmenters_class_map(photo, segmentor, fast_tiny):
    pamr = LoftUpSCLIPSegmentor(use_loftup=False, use_pamr=True, verbose=False, bundle=fast_tiny)
    seg_map, logits, _ = pamr.predict_dense(photo, WORDS)
    result = segmentor.segmenter(photo, WORDS, background=(), options=Options(use_loftup=False, pamr=True))
    plain = segmentor.segmenter(photo, WORDS, background=(), options=Options(use_loftup=False))
    assert (seg_map == result.dense.astype(np.int64) - 1).mean() > 0.9999
    assert (seg_map != plain.dense.astype(np.int64) - 1).mean() > 0.001
    np.testing.assert_allclose(softmax(logits).max(axis=2), result.confidence, atol=1e-5)


def squares():
    """Two regions of class 1 and one of class 2 in class 0, each of its own confidence: (40, 60) map, probabilities."""
    seg_map = np.zeros((40, 60), np.int64)
    probs = np.zeros((40, 60, 3), np.float32)
    probs[..., 0] = 0.9
    for class_index, rows, columns, confidence in [
        (1, slice(5, 15), slice(5, 15), 0.8),
        (1, slice(30, 32), slice(0, 3), 0.8),
        (2, slice(5, 25), slice(40, 52), 0.75),
    ]:
        seg_map[rows, columns] = class_index
        probs[rows, columns] = 0.01
        probs[rows, columns, class_index] = confidence
    return seg_map, probs


def test_prompts_are_dictionaries_with_the_old_keys():
    seg_map, probs = squares()
    _, first, second = extract_prompt_points_from_upsampled(seg_map, probs, ["wall", "cat", "dog"])
    assert first == {
        "point": (10, 10),
        "class_idx": 1,
        "class_name": "cat",
        "confidence": pytest.approx(0.8),
        "region_size": 100,
        "negative_points": [],
    }
    assert (second["class_name"], second["region_size"]) == ("dog", 240)
    assert second["point"] in {(x, y) for x in (45, 46) for y in (14, 15)}


def test_thresholds_decide_which_regions_get_a_prompt():
    seg_map, probs = squares()
    words = ["wall", "cat", "dog"]
    small = extract_prompt_points_from_upsampled(seg_map, probs, words, min_region_size=6)
    sure = extract_prompt_points_from_upsampled(seg_map, probs, words, min_confidence=0.78)
    assert [prompt["region_size"] for prompt in small if prompt["class_idx"] == 1] == [100, 6]
    assert {prompt["class_name"] for prompt in sure} == {"wall", "cat"}


def test_several_points_are_several_prompts_and_negative_points_lie_in_other_classes():
    seg_map, probs = squares()
    prompts = extract_prompt_points_from_upsampled(
        seg_map, probs, ["wall", "cat", "dog"], points_per_cluster=3, negative_points_per_cluster=2
    )
    cats = [prompt for prompt in prompts if prompt["class_idx"] == 1]
    assert len({prompt["point"] for prompt in cats}) == 3
    for prompt in cats:
        assert seg_map[prompt["point"][::-1]] == 1
        assert len(prompt["negative_points"]) == 2
        assert all(seg_map[y, x] != 1 for x, y in prompt["negative_points"])


def test_negative_points_reach_sam2(segmentor, fast_tiny, photo):
    (x, y) = (200, 160)
    prompt = {"point": (x, y), "class_idx": 0, "class_name": "a", "confidence": 0.9, "region_size": 100}
    without, with_ = (
        segment_with_guided_prompts(photo, [{**prompt, "negative_points": points}], bundle=fast_tiny)[0]["mask"]
        for points in ([], [(30, 30)])
    )
    assert without.dtype == np.bool_
    assert without.shape == photo.shape[:2]
    assert (without != with_).any()
    assert segment_with_guided_prompts(photo, [], bundle=fast_tiny) == []


@pytest.mark.parametrize("seed", range(3))
def test_merging_equals_brute_force_and_the_pipelines(seed):
    random = np.random.default_rng(seed)
    low_res = random.normal(size=(3, 1, 16, 16)).astype(np.float32) + random.normal(size=(3, 6, 16, 16)) / 3
    low_res = low_res.reshape(18, 16, 16).astype(np.float32)
    low_res[4] = -1.0  # an empty mask
    class_index, confidence = random.integers(0, 2, 18), random.random(18).round(1).astype(np.float32)
    results = []
    for logits, index, sure in zip(low_res, class_index.tolist(), confidence.tolist(), strict=True):
        mask = np.zeros((50, 70), np.bool_)
        if (placed := upsample(logits, (50, 70))) is not None:
            x0, y0, x1, y1 = placed[1]
            mask[y0:y1, x0:x1] = placed[0]
        results.append({"mask": mask, "class_idx": index, "confidence": sure})
    merged = merge_overlapping_masks(results, 0.6)
    assert list(map(id, merged)) == list(map(id, brute_force_merge(results, 0.6)))
    kept = drop_duplicates(low_res, class_index, confidence, (50, 70), 0.6)
    assert {id(results[i]) for i in kept} == set(map(id, merged))
    assert 2 < len(merged) < 17


def test_what_the_bundle_lacks_is_an_error():
    with pytest.raises(BundleError, match="its upsampler is tiny_loftup, not loftup_dinov2s"):
        LoftUpSCLIPSegmentor(loftup_model_name="loftup_dinov2s", verbose=False, bundle="tiny")


def test_arguments_that_make_no_sense_are_errors(segmentor, photo, tmp_path):
    seg_map, probs = squares()
    with pytest.raises(VocabularyError, match=r"line 3 .* is line 1 \('cat'\) again: give each class once"):
        segmentor.predict_dense(photo, ["cat", "dog", "Cat\ufeff"])
    with pytest.raises(ValueError, match=r"probs has the shape \(3, 40, 60\), expected .* \(40, 60, 3\)"):
        extract_prompt_points_from_upsampled(seg_map, probs.transpose(2, 0, 1), ["a", "b", "c"])
    with pytest.raises(ValueError, match="seg_map has the class 3, the vocabulary only 3"):
        extract_prompt_points_from_upsampled(seg_map + 1, probs, ["a", "b", "c"])
    with pytest.raises(ValueError, match="both a bundle and a checkpoint"):
        segment_with_guided_prompts(photo, [], tmp_path / "sam2.pt", bundle="tiny")


def test_the_features_graph_is_found_from_any_folder(segmentor, tmp_path, monkeypatch):
    """It is loaded when it is first asked for, and the bundle may have been named by a relative path."""
    folder = segmentor.segmenter.bundle.folder
    monkeypatch.chdir(folder.parent)
    other = Segmenter(folder.name, threads=1)
    monkeypatch.chdir(tmp_path)
    photo = np.zeros((32, 32, 3), np.uint8)
    assert other.features(photo).shape[0] == other.manifest.clip.dim
