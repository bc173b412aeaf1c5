"""The whole chain without torch against the same chain in PyTorch, on real photos and the same random weights."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from wordmask import Options, Segmenter
from wordmask.errors import BundleError
from wordmask.objects.mask_choice import region_logits
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.reading import decode
from wordmask.rle import decode as decode_rle
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Prompt

WORDS = ["cat", "cup, mug", "truck", "spoon"]


def low(photo, **settings):
    """Options that let something through: random weights are sure of nothing, and their class maps are ragged."""
    unchecked = {"min_score": 0.0, "mask_pieces": "all", "across_words_iou": 1.0, "points_per_region": 1}
    return Options(**{"min_confidence": 0.0, "min_region_size": max(1, photo.size // 600), **unchecked, **settings})


@pytest.fixture(scope="module")
def chain(small_models, segmenter):
    pytest.importorskip("torch")
    from wordmask_bench.torch_baseline.chain import EagerChain

    return EagerChain(small_models, segmenter.manifest.clip)


@pytest.fixture(scope="module", params=["landscape", "portrait", "shared"])
def photo(request, examples):
    """Writable, as torch wants it."""
    if request.param == "shared":
        return np.array(decode(request.getfixturevalue("shared_photos") / "truck.jpg"))
    picture = Image.open(examples / "chelsea.jpg")
    return np.array(picture.resize((150, 260)) if request.param == "portrait" else picture)


def iou(a, b):
    either = (a | b).sum()
    return (a & b).sum() / either if either else 1.0


@pytest.mark.parametrize("use_loftup", [True, False])
def test_class_map_equals_pytorchs(chain, segmenter, photo, use_loftup):
    words = ["cat", "cup", "truck", "spoon"]
    queries = segmenter.embed(Vocabulary.parse(words))
    found = segmenter.class_map(photo, queries, Options(use_loftup=use_loftup))
    index, probabilities = chain.class_map(photo, chain.embed(words), use_loftup=use_loftup)
    probabilities = probabilities.numpy()
    assert (found.index == index).mean() > 0.998
    np.testing.assert_allclose(found.confidence, probabilities.max(0), atol=2e-3)
    np.testing.assert_allclose(found.best, probabilities.max((1, 2)), atol=2e-3)


@pytest.mark.parametrize("extra", [{}, {"points_per_region": 2, "negative_points": 1}, {"boxes": True}])
def test_masks_equal_sam2s_for_the_same_prompts(chain, segmenter, photo, extra):
    options = low(photo, iou_threshold=1.0, negative_min_confidence=0.0, **extra)
    result = segmenter(photo, WORDS, background=(), options=options)
    assert len(result.instances) >= 2
    prompts = [Prompt(i.class_index, i.points, i.labels, i.clip_confidence, 0) for i in result.instances[:12]]
    expected = chain.masks(photo, prompts)
    worst = min(iou(decode_rle(i.mask), mask) for i, mask in zip(result.instances, expected.masks, strict=False))
    assert worst >= 0.99
    found = [instance.sam_iou for instance in result.instances[:12]]
    np.testing.assert_allclose(found, expected.iou, atol=5e-3)  # SAM2's input is rounded to bytes


def test_prompts_with_masks_give_what_sam2_gives_for_their_regions(small_models, mask_prompt_bundle, photo):
    torch = pytest.importorskip("torch")
    from wordmask_export.models.pipeline import image_predictor

    options = low(photo, iou_threshold=1.0)
    segmenter = Segmenter(mask_prompt_bundle)
    dense = segmenter.class_map(photo, segmenter.embed(Vocabulary.parse(WORDS)), options)
    prompts = extract_prompts(dense.index, dense.confidence, 4, options)[:6]
    encoded = segmenter.encode(photo)
    found, iou = segmenter.decode(encoded, prompts, class_map=dense.index)
    square = np.array(Image.fromarray(photo).resize((256, 256), Image.Resampling.BILINEAR))
    predictor = image_predictor(small_models.sam2)
    predictor.set_image(square)
    points = np.stack([prompt.points for prompt in prompts]) * 256 / np.array(photo.shape[1::-1])
    _, scores, expected = predictor._predict(
        torch.from_numpy(points.astype(np.float32)),
        torch.ones((len(prompts), 1), dtype=torch.int32),
        mask_input=torch.from_numpy(region_logits(dense.index, 64)(prompts)[:, None]),
        multimask_output=True,
    )
    best = scores.argmax(1).numpy()
    rows = np.arange(len(prompts))
    np.testing.assert_allclose(found.clip(-32, 32), expected.numpy()[rows, best], atol=5e-2)  # of bytes, see above
    np.testing.assert_allclose(iou, scores.numpy()[rows, best], atol=5e-3)
    assert np.abs(found - segmenter.decode(encoded, prompts)[0]).max() > 1e-2


def test_regions_go_to_sam2_where_the_bundle_has_the_graph_for_them(segmenter, mask_prompt_bundle, photo):
    with_masks = Segmenter(mask_prompt_bundle)

    def scores(segmenter, **choices):
        queries = segmenter.embed(Vocabulary.parse(WORDS))
        found = segmenter.segment(photo, queries, low(photo, iou_threshold=1.0, **choices))
        return [instance.score for instance in found.instances]

    assert scores(with_masks) != scores(segmenter)
    assert scores(with_masks, mask_prompts=False) == scores(segmenter)
    assert scores(with_masks, mask_prompts=True) == scores(with_masks)
    with pytest.raises(BundleError, match="built without --mask-prompts; use --no-mask-prompts"):
        scores(segmenter, mask_prompts=True)


def test_the_result_is_consistent(segmenter, photo):
    result = segmenter(photo, WORDS, options=low(photo))
    size = photo.shape[:2]
    assert result.words == ("cat", "cup", "truck", "spoon")
    assert result.semantic.shape == result.dense.shape == result.confidence.shape == size
    assert result.dense.max() <= 4
    scores = [instance.score for instance in result.instances]
    assert scores == sorted(scores, reverse=True)
    painted = np.zeros(size, np.uint16)
    for instance in reversed(result.instances):
        mask = decode_rle(instance.mask)
        x0, y0, x1, y1 = instance.box
        assert instance.area == mask.sum() == mask[y0:y1, x0:x1].sum() > 0
        assert instance.word == result.words[instance.class_index]
        assert instance.score == pytest.approx(instance.agreement * instance.sam_iou)
        painted[mask] = instance.class_index + 1
    np.testing.assert_array_equal(result.semantic, painted)
    assert {"decode", "words", "clip", "loftup", "sam2_encoder", "sam2_decoder", "masks"} <= set(result.seconds)


def test_the_background_takes_pixels_and_is_left_out(segmenter, photo):
    alone = segmenter(photo, ["cat"], background=(), options=low(photo))
    assert (alone.dense == 1).all()
    beside = segmenter(photo, ["cat"], options=low(photo))
    assert 0 < (beside.dense == 0).mean() <= 1
    assert beside.words == ("cat",)
    assert {instance.word for instance in beside.instances} <= {"cat"}


def test_nothing_found_is_an_empty_result_with_the_best_confidence(segmenter, photo):
    result = segmenter(photo, WORDS, options=Options(min_confidence=1.0))
    assert result.instances == ()
    assert not result.semantic.any()
    assert result.prompt_count == 0
    assert all(0 < confidence < 1 for confidence in result.word_confidence)


def test_the_same_call_gives_the_same_result(segmenter, photo):
    first, second = (segmenter(photo, WORDS, options=low(photo)) for _ in range(2))
    np.testing.assert_array_equal(first.semantic, second.semantic)
    assert [i.mask for i in first.instances] == [i.mask for i in second.instances]


@pytest.mark.parametrize("size", [(1, 1), (1, 320), (400, 16), (64, 64)])
def test_photos_of_any_shape_give_a_result(segmenter, size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = segmenter(photo, ["cat", "dog"], options=Options(min_confidence=0.0, min_region_size=1))
    assert result.semantic.shape == size


def test_a_file_and_its_pixels_give_the_same(segmenter, examples):
    path = examples / "chelsea.jpg"
    pixels = decode(path)
    from_file, from_pixels = (segmenter(image, WORDS, options=low(pixels)) for image in (str(path), pixels))
    np.testing.assert_array_equal(from_file.semantic, from_pixels.semantic)


def test_wrong_pixels_are_refused_with_advice(segmenter):
    with pytest.raises(ValueError, match=r"float64.*uint8"):
        segmenter(np.zeros((4, 4, 3)), ["cat"])


def test_a_bundle_without_loftup_says_so(small_choice, small_protocol, small_bundle, tmp_path):
    """Built by hand from the small one: its manifest names no LoftUp."""
    import dataclasses
    import shutil

    from wordmask.bundle.manifest_reading import read_manifest

    shutil.copytree(small_bundle, tmp_path / "b")
    manifest = read_manifest(small_bundle)
    graphs = {name: graph for name, graph in manifest.graphs.items() if not name.startswith("loftup")}
    (tmp_path / "b" / "manifest.json").write_text(
        dataclasses.replace(manifest, graphs=graphs, loftup=None).sealed().to_json()
    )
    segmenter = Segmenter(tmp_path / "b")
    photo = np.zeros((64, 64, 3), np.uint8)
    assert segmenter(photo, ["cat"]).semantic.shape == (64, 64)
    with pytest.raises(BundleError, match="--no-loftup"):
        segmenter(photo, ["cat"], options=Options(use_loftup=True))


def test_prompts_come_from_the_class_map(segmenter, photo):
    queries = segmenter.embed(Vocabulary.parse(WORDS))
    dense = segmenter.class_map(photo, queries, low(photo))
    prompts = extract_prompts(dense.index, dense.confidence, 4, low(photo))
    assert segmenter(photo, WORDS, background=(), options=low(photo)).prompt_count == len(prompts)
    for prompt in prompts:
        x, y = prompt.points[0].astype(int)
        assert dense.index[y, x] == prompt.class_index


def dense_index(segmenter, photo, words=("cat", "cup", "truck"), **settings):
    queries = segmenter.embed(Vocabulary.parse(words))
    return segmenter.class_map(photo, queries, Options(use_loftup=True, **settings))


def test_where_nothing_is_decided_selective_upsampling_is_the_full_one(segmenter, photo):
    full = dense_index(segmenter, photo)
    selective = dense_index(segmenter, photo, upsample="selective")  # random weights decide nothing
    np.testing.assert_allclose(selective.confidence, full.confidence, atol=1e-5)
    assert (selective.index == full.index).mean() > 0.9999


def test_where_all_is_decided_selective_upsampling_is_the_bilinear_one(segmenter, photo, monkeypatch):
    monkeypatch.setattr(
        "wordmask.dense.branch.undecided", lambda logits, *_, **__: np.zeros(logits.shape[1:], np.bool_)
    )
    selective = dense_index(segmenter, photo, upsample="selective")
    queries = segmenter.embed(Vocabulary.parse(("cat", "cup", "truck")))
    plain = segmenter.class_map(photo, queries, Options(use_loftup=False))
    np.testing.assert_allclose(selective.confidence, plain.confidence, atol=1e-6)


def test_a_photo_of_one_window_is_the_same_in_either_scope(segmenter, monkeypatch):
    side = segmenter.manifest.clip.window
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    monkeypatch.setattr("wordmask.pipeline.resize_for_clip", lambda photo, constants: photo)
    window, image = (dense_index(segmenter, noise, upsample_scope=scope) for scope in ("window", "image"))
    np.testing.assert_allclose(image.confidence, window.confidence, atol=1e-5)
    np.testing.assert_array_equal(image.index, window.index)


def undecided_in(share):
    """As wordmask.dense.tile_selection.undecided: the given share of the photo's rows, from the top."""

    def found(logits, *_, **__):
        mask = np.zeros(logits.shape[1:], np.bool_)
        mask[: int(share * len(mask))] = True
        return mask

    return found


def test_loftup_is_evaluated_where_the_map_is_undecided(segmenter, photo, monkeypatch):
    monkeypatch.setattr("wordmask.dense.branch.undecided", undecided_in(0.1))
    full, selective = (dense_index(segmenter, photo, upsample=upsample) for upsample in ("full", "selective"))
    plain = segmenter.class_map(
        photo, segmenter.embed(Vocabulary.parse(("cat", "cup", "truck"))), Options(use_loftup=False)
    )
    top, bottom = np.s_[: len(photo) // 20], np.s_[-len(photo) // 20 :]
    np.testing.assert_allclose(selective.confidence[top], full.confidence[top], atol=1e-5)
    np.testing.assert_allclose(selective.confidence[bottom], plain.confidence[bottom], atol=1e-5)


def test_where_much_is_undecided_loftup_is_evaluated_everywhere(segmenter, photo, monkeypatch):
    monkeypatch.setattr("wordmask.dense.branch.undecided", undecided_in(0.4))
    full, selective = (dense_index(segmenter, photo, upsample=upsample) for upsample in ("full", "selective"))
    np.testing.assert_allclose(selective.confidence, full.confidence, atol=1e-5)
