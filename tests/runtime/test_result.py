"""A result: a sequence of objects in falling score, drawn, written and handed on to other tools."""

from __future__ import annotations

import base64
import io
import json
import pickle
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from stub_segmenter import segmented
from wordmask.errors import MissingExtraError, OutputError, PhotoError, VocabularyError
from wordmask.formats.overlay import draw
from wordmask.formats.pictures import jpeg
from wordmask.result import FailedPhoto, Result
from wordmask.rle import encode
from wordmask.types import Instance

WORDS = ("cat", "Mug", "tree")


@pytest.fixture
def photo():
    """Red where there is a cat, green where there is a mug: they share 10 pixels."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[2:12, 3:23, 0] = pixels[10:35, 13:43, 1] = 255
    return pixels


def found(photo):
    """A mug, then a cat, in falling score."""
    result = Result(**vars(segmented(photo, WORDS, {})))
    return replace(result, instances=result.instances[::-1], photo=photo)[:]


@pytest.fixture
def result(photo):
    return found(photo)


def crowd(words, count):
    """Objects of one pixel, of the words in turn."""
    mask = np.zeros((1, count), np.bool_)
    objects = []
    for i in range(count):
        mask[:] = False
        mask[0, i] = True
        numbers = ((i, 0, i + 1, 1), 1, 1.0, 1.0, 1.0, np.zeros((0, 2), np.float32), np.zeros(0, np.int32))
        objects.append(Instance(words[i % len(words)], i % len(words), encode(mask), *numbers))
    blank = np.zeros((1, count), np.uint16)
    best = (1.0,) * len(words)
    return Result(tuple(words), blank, blank, blank.astype(np.float32), tuple(objects), best, count, {})


def test_a_result_is_a_sequence_of_its_objects(result):
    assert len(result) == 2
    assert [each.word for each in result] == ["Mug", "cat"]
    assert result[0].word == result[-2].word == "Mug"
    with pytest.raises(IndexError):
        result[2]


def test_a_slice_is_a_result_whose_labels_are_painted_anew(result, photo):
    cat = result[1:]
    assert isinstance(cat, Result)
    assert cat.labels == ["cat"]
    np.testing.assert_array_equal(cat.semantic, (photo[..., 0] > 0).astype(np.uint16))
    np.testing.assert_array_equal(cat.dense, result.dense)
    assert cat.photo is photo


def test_arrays_have_a_row_for_each_object(result, photo):
    np.testing.assert_array_equal(result.masks, np.stack([photo[..., 1] > 0, photo[..., 0] > 0]))
    np.testing.assert_array_equal(result.boxes, [[13, 10, 43, 35], [3, 2, 23, 12]])
    np.testing.assert_allclose(result.scores, [750 / 2400, 200 / 2400])
    np.testing.assert_array_equal(result.class_ids, [1, 0])
    assert result.labels == ["Mug", "cat"]
    kinds = (result.masks, result.boxes, result.scores, result.class_ids)
    assert [array.dtype.name for array in kinds] == ["bool", "float32", "float32", "int64"]


def test_arrays_of_no_objects_have_no_rows(result):
    none = result[:0]
    assert (none.masks.shape, none.boxes.shape) == ((0, 40, 60), (0, 4))
    assert (none.scores.shape, none.class_ids.shape, none.labels) == ((0,), (0,), [])


def test_each_object_decodes_its_mask(result):
    for mask, instance in zip(result.masks, result, strict=True):
        np.testing.assert_array_equal(instance.mask.decode(), mask)


def test_a_filter_keeps_scores_and_words(result, photo):
    assert result.filter(min_score=0.2).labels == ["Mug"]
    assert result.filter(words="CAT").labels == ["cat"]
    assert result.filter(words=["mug", "tree"], min_score=0.4).labels == []
    assert result.filter() == result
    assert result.filter(words=[]).labels == []
    np.testing.assert_array_equal(result.filter(words="mug").semantic, 2 * (photo[..., 1] > 0))


def test_a_filter_for_a_word_that_was_not_asked_for_is_refused(result):
    with pytest.raises(VocabularyError, match=r"'dog' was not asked for: the words are cat, Mug, tree"):
        result.filter(words=["cat", "dog"])


def test_the_repr_is_one_line(result):
    assert repr(result) == "2 objects: 1 cat, 1 Mug; 60x40"
    assert repr(result[1:]) == "1 object: 1 cat; 60x40"
    assert repr(result[:0]) == "no objects; 60x40"
    assert repr(crowd(["a\nb", "c"], 3)) == "3 objects: 2 a b, 1 c; 3x1"
    assert repr(crowd([f"w{i}" for i in range(12)], 12)).endswith("1 w9, 2 more words; 12x1")


def test_results_are_equal_if_they_found_the_same(result, photo):
    again = replace(found(photo), seconds={"stub": 1.0}, photo=None)
    assert again == result
    assert hash(again) == hash(result)
    assert again[0] == result[0]
    assert len({again[0], result[0]}) == 1
    assert again[:1] != result
    assert again[0] != result[1]
    assert replace(again, confidence=again.confidence + 1) != result
    assert replace(again[0], points=again[0].points + 1) != result[0]
    assert result != "2 objects: 1 cat, 1 Mug; 60x40"
    assert pickle.loads(pickle.dumps(result)) == result


def test_plot_draws_over_the_photo(result, photo, tmp_path):
    expected = draw(photo, result)
    assert (expected != photo).any()
    np.testing.assert_array_equal(result.plot(), expected)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    again = replace(result, photo=None, path=tmp_path / "photo.png")
    np.testing.assert_array_equal(again.plot(), expected)
    np.testing.assert_array_equal(replace(result, photo=None).plot(photo), expected)


def test_plot_needs_the_photo(result, tmp_path):
    with pytest.raises(ValueError, match=r"holds no photo: draw with plot\(photo\)"):
        replace(result, photo=None).plot()
    with pytest.raises(PhotoError, match=r"gone\.png"):
        replace(result, photo=None, path=tmp_path / "gone.png").plot()
    with pytest.raises(ValueError, match=r"shape \(4, 4, 3\)"):
        result.plot(np.zeros((4, 4, 3), np.uint8))


def test_save_writes_what_the_suffix_says(result, tmp_path):
    for name in ("a.png", "a.JPG", "a.jpeg", "deep/a.json"):
        result.save(tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), result.plot())
    for name in ("a.JPG", "a.jpeg"):
        assert (tmp_path / name).read_bytes() == jpeg(result.plot())
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == result.to_coco()


def test_save_refuses_other_suffixes_and_says_where_it_cannot_write(result, tmp_path):
    with pytest.raises(ValueError, match=r"ends with '\.gif', expected \.png or \.jpg"):
        result.save(tmp_path / "a.gif")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        result.save(str(tmp_path / "file" / "a.png"))


def test_coco_has_the_masks(result, tmp_path):
    document = replace(result, path=tmp_path / "photo.png").to_coco()
    assert document["images"] == [{"id": 1, "file_name": "photo.png", "height": 40, "width": 60}]
    assert [category["name"] for category in document["categories"]] == list(WORDS)
    for entry, mask in zip(document["annotations"], result.masks, strict=True):
        np.testing.assert_array_equal(coco_mask.decode(entry["segmentation"]), mask)


def test_json_is_a_list_of_the_objects(result):
    rows = json.loads(result.to_json())
    assert [(row["word"], row["class_id"], row["x0"], row["y1"], row["area"]) for row in rows] == [
        ("Mug", 1, 13, 35, 750),
        ("cat", 0, 3, 12, 200),
    ]
    np.testing.assert_array_equal(coco_mask.decode(rows[0]["mask"]), result[0].mask.decode())


def test_pandas_gets_a_row_for_each_object(result):
    pytest.importorskip("pandas")
    table = result.to_pandas()
    assert table["word"].tolist() == ["Mug", "cat"]
    assert table[["x0", "y0", "x1", "y1"]].to_numpy().tolist() == result.boxes.tolist()
    assert table["score"].tolist() == [each.score for each in result]
    assert result[:0].to_pandas().columns.tolist() == table.columns.tolist()


def test_without_pandas_the_extra_is_named(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"Result\.to_pandas needs .* pip install '\.\[pandas\]'"):
        result.to_pandas()


def test_a_notebook_gets_the_picture_and_a_table(result):
    page = result._repr_html_()
    assert page.startswith("<p>2 objects: 1 cat, 1 Mug; 60x40</p>")
    assert page.count("<tr>") == 3
    assert "(13, 10) to (43, 35)" in page
    data = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.size == (60, 40)
    with Image.open(io.BytesIO(result._repr_png_())) as picture:
        np.testing.assert_array_equal(np.asarray(picture), result.plot())


def test_a_notebook_gets_words_as_text():
    word = "<script>alert('&')</script>"
    page = crowd([word], 1)._repr_html_()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)&lt;/script&gt;") == 2


def test_a_notebook_gets_a_small_picture_and_the_best_objects(result, monkeypatch):
    monkeypatch.setattr("wordmask.result.NOTEBOOK_SIDE", 30)
    with Image.open(io.BytesIO(result._repr_png_())) as picture:
        assert picture.size == (30, 20)
    page = crowd(["dot"], 52)._repr_html_()
    assert page.count("<tr>") == 51
    assert page.endswith("<p>and 2 more</p>")


def test_a_notebook_gets_the_table_alone_where_the_photo_is_gone(result, tmp_path):
    for path in (None, tmp_path / "gone.png"):
        gone = replace(result, photo=None, path=path)
        assert gone._repr_png_() is None
        assert "<img" not in gone._repr_html_()
        assert gone._repr_html_().count("<tr>") == 3


def test_show_asks_the_notebook_or_the_systems_viewer(result, monkeypatch):
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda image: shown.append(np.asarray(image)))
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    result.show()
    terminal = SimpleNamespace(get_ipython=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    result.show()
    for picture in shown:
        np.testing.assert_array_equal(picture, result.plot())
    kernel = SimpleNamespace(kernel=object())
    display = SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: kernel, display=display))
    result.show()
    assert len(shown) == 3
    assert shown[2] is result


def test_a_failed_photo_is_a_sequence_of_nothing(tmp_path):
    failed = FailedPhoto(tmp_path, PhotoError("EMPTY", "the file is empty"))
    assert (list(failed), len(failed), failed.instances, failed.code) == ([], 0, (), "EMPTY")
    assert repr(failed) == "EMPTY: the file is empty"
    nothing = (failed.boxes, failed.scores, failed.class_ids)
    assert [(array.shape, array.dtype) for array in nothing] == [((0, 4), "f4"), ((0,), "f4"), ((0,), "i8")]
    assert failed.labels == []
