"""What one types in a notebook works: photos, words and options as they come, and results that are used at once."""

from __future__ import annotations

import io
import json
import pickle

import cv2
import numpy as np
import pytest
from PIL import Image

import wordmask
from wordmask import Instance, Options, Segmenter
from wordmask.errors import VocabularyError, WordmaskWarning

WORDS = ["green checkered", "blue plain", "blue zigzag", "orange striped", "stone"]
NONE = {"background": [], "use_loftup": False}  # quick


@pytest.fixture(scope="module")
def segmenter(fast_tiny):
    return Segmenter(fast_tiny, threads=2)


@pytest.fixture(scope="module")
def photo(examples):
    with Image.open(examples.parent / "scenes" / "01.png") as scene:
        return np.asarray(scene.convert("RGB"))[:220]


@pytest.fixture(scope="module")
def folder(photo, tmp_path_factory):
    """A good photo, a bad one, and the first one mirrored."""
    place = tmp_path_factory.mktemp("photos")
    Image.fromarray(photo).save(place / "a.png")
    (place / "b.png").write_bytes(b"")
    Image.fromarray(photo[:, ::-1]).save(place / "c.png")
    return place


@pytest.fixture(scope="module")
def result(segmenter, folder):
    return segmenter(folder / "a.png", WORDS, **NONE)


def test_photos_come_as_files_bytes_images_and_arrays(segmenter, folder, photo, result):
    path = folder / "a.png"
    assert len(result) >= 3
    with path.open("rb") as file, Image.open(path) as image:
        photos = [str(path), file, io.BytesIO(path.read_bytes()), path.read_bytes(), image, photo]
        for found in segmenter(photos, WORDS, **NONE):
            assert found == result
    assert segmenter(cv2.imread(str(path)), WORDS, bgr=True, **NONE) == result
    assert segmenter(cv2.cvtColor(photo, cv2.COLOR_RGB2RGBA), WORDS, **NONE) == result
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    assert segmenter(grey, WORDS, **NONE) == segmenter(np.dstack([grey] * 3), WORDS, **NONE)


def test_words_come_as_a_list_a_generator_or_one_line(segmenter, photo, result):
    assert segmenter(photo, (word for word in WORDS), **NONE) == result
    one = segmenter(photo, "blue plain, blue zigzag", **NONE)
    assert one.words == ("blue plain",)
    assert one == segmenter(photo, ["blue plain, blue zigzag"], **NONE)


def test_background_words_are_a_list_or_a_generator_and_no_string(segmenter, photo, result):
    assert segmenter(photo, WORDS, background=(word for word in ()), use_loftup=False) == result
    with pytest.raises(VocabularyError, match=r"background words are 'none': give a list of strings.*\[\] for none"):
        segmenter(photo, WORDS, background="none")
    with pytest.raises(VocabularyError, match="the words are None"):
        segmenter(photo, None)


def test_options_come_by_name_or_as_one_value(segmenter, photo, result):
    fewer = segmenter(photo, WORDS, background=[], options=Options(use_loftup=False, min_score=0.6))
    assert 0 < len(fewer) < len(result)
    assert segmenter(photo, WORDS, min_score=0.6, **NONE) == fewer
    both = segmenter(photo, WORDS, background=[], options=Options(use_loftup=False, min_score=0.1), min_score=0.6)
    assert both == fewer
    with pytest.raises(TypeError, match=r"no option 'min_scores': did you mean 'min_score'\?"):
        segmenter(photo, WORDS, min_scores=0.6)
    with pytest.raises(TypeError, match=r"no option 'fp16': the options are use_loftup, upsample, "):
        segmenter(photo, WORDS, fp16=True)
    with pytest.raises(ValueError, match=r"min_score is 6: it must lie between 0 and 1"):
        segmenter(photo, WORDS, min_score=6)
    with pytest.raises(ValueError, match=r"min_score is '0\.6': it must be a number"):
        segmenter(photo, WORDS, min_score="0.6")


def test_a_result_is_used_at_once(result, folder, tmp_path):
    height, width, count = 220, 320, len(result)
    best = result[0]
    assert isinstance(best, Instance)
    assert best.score == max(each.score for each in result)
    assert result.path == folder / "a.png"
    assert result.masks.shape == (count, height, width)
    assert [mask.sum() for mask in result.masks] == [each.area for each in result]
    assert (np.diff(result.scores) <= 0).all()
    assert [result.words[i] for i in result.class_ids] == result.labels
    crops = [result.masks[i, y0:y1, x0:x1] for i, (x0, y0, x1, y1) in enumerate(result.boxes.astype(int))]
    assert [crop.sum() for crop in crops] == [each.area for each in result]
    assert result.filter(words=best.word)[0] == best
    assert result[:2].scores.tolist() == result.scores[:2].tolist()
    assert repr(result).endswith(f"; {width}x{height}")
    assert result.plot().shape == (height, width, 3)
    for name in ("masks.png", "masks.jpg", "masks.json"):
        result.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 1000
    assert len(result.to_coco()["annotations"]) == len(json.loads(result.to_json())) == len(result.to_pandas()) == count
    assert "<img" in result._repr_html_()
    assert "<table" in result._repr_html_()
    assert result._repr_png_().startswith(b"\x89PNG")


def test_a_result_is_looped_over_sorted_compared_and_kept(result, segmenter, photo):
    assert list(result) == [result[i] for i in range(len(result))] == [*result[:1], *result[1:]]
    assert (result[-1], result[0] in result, bool(result)) == (list(result)[-1], True, True)
    assert max(result, key=lambda found: found.area).area == result.masks.sum(axis=(1, 2)).max()
    np.testing.assert_array_equal(result[0].mask.decode(), result.masks[0])
    assert result == pickle.loads(pickle.dumps(result)) != segmenter(photo, WORDS, min_score=0.9, **NONE)
    assert len({result, segmenter(photo, WORDS, **NONE)}) == 1
    good = result.filter(min_score=0.6, words=result.labels[:2])
    assert 0 < len(good) < len(result)
    assert all(found.score >= 0.6 and found.word in result.labels[:2] for found in good)
    nothing = result.filter(min_score=1.0)
    assert (repr(nothing), bool(nothing), nothing.masks.shape) == ("no objects; 320x220", False, (0, 220, 320))
    np.testing.assert_array_equal(nothing.plot(), photo)


def test_a_segmenter_says_at_the_callers_line_that_its_bundle_knows_scenes_alone():
    with pytest.warns(WordmaskWarning, match="this bundle was trained on synthetic scenes") as caught:
        Segmenter("tiny", threads=2)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_folder_is_streamed_with_what_is_bad_in_its_place(segmenter, folder, result):
    first, bad, mirrored = segmenter.stream(folder, WORDS, **NONE)
    assert first == result
    assert (bad.path, bad.error.code, list(bad), bad.labels) == (folder / "b.png", "EMPTY", [], [])
    assert (first.photo, first.path, first.error) == (None, folder / "a.png", None)
    assert mirrored == segmenter(folder / "c.png", WORDS, **NONE)
    assert segmenter.photos_in_flight == 2
    np.testing.assert_array_equal(first.plot(), result.plot())


def test_the_package_lists_its_public_names_and_its_version():
    assert dir(wordmask) == ["Instance", "Options", "Result", "Segmenter", "WordmaskError", "__version__"]
    for name in dir(wordmask):
        assert getattr(wordmask, name)
    assert issubclass(wordmask.Result, wordmask.Segmentation)
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        wordmask.Segmentor  # noqa: B018
