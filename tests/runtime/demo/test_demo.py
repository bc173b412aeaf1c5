"""What `wordmask demo` does behind its page."""

from __future__ import annotations

import io
import json
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stub_segmenter import StubSegmenter, write_photos
from wordmask import Options, Segmenter
from wordmask.cli.main import main
from wordmask.demo.answers import MOST_WORDS, topmost, words_of
from wordmask.demo.bounded_cache import LruCache
from wordmask.demo.cached_segmenter import Workbench
from wordmask.demo.examples import examples_for
from wordmask.demo.replies import Asked, reply
from wordmask.errors import VocabularyError
from wordmask.formats.coco import coco_annotation
from wordmask.formats.word_colours import hex_colour, word_colours
from wordmask.photo.options import DEFAULTS
from wordmask.photo.reading import load_file
from wordmask.rle import encode
from wordmask.types import Instance, Segmentation

WORDS = "orange zigzag, blue zigzag\nyellow zigzag, black striped\nblack checkered, sand"
BILINEAR = Options(use_loftup=False)
STAGES = ("encode", "class_map", "segment")


@pytest.fixture(scope="module")
def segmenter(fast_tiny) -> Segmenter:
    return Segmenter(fast_tiny, threads=1)


@pytest.fixture
def runs(segmenter, monkeypatch) -> Counter:
    """How often each stage ran."""
    count: Counter = Counter()

    def counted(name, stage):
        def run(*arguments, **settings):
            count[name] += 1
            return stage(*arguments, **settings)

        return run

    for name in STAGES:
        monkeypatch.setattr(segmenter, name, counted(name, getattr(segmenter, name)))
    return count


@pytest.fixture(scope="module")
def workbench(segmenter) -> Workbench:
    return Workbench(segmenter, ())


@pytest.fixture
def unused_workbench(segmenter, runs) -> Workbench:
    return Workbench(segmenter, ())


@pytest.fixture
def scene(examples) -> Path:
    return examples.parent / "scenes" / "04.png"


@pytest.fixture
def asked(scene) -> Asked:
    return Asked(str(scene), WORDS, 0.7, 100, 0.8, False, "masks")


def opened(content) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(content)))


def test_words_stand_on_lines_or_between_commas():
    assert words_of(" cat, traffic light\n\n,dog\r\n") == ["cat", "traffic light", "dog"]


@pytest.mark.parametrize("text", [" ,\n", ",".join(map(str, range(MOST_WORDS + 1)))], ids=["none", "too many"])
def test_no_words_and_too_many_are_refused(text):
    with pytest.raises(VocabularyError, match="there are"):
        words_of(text)


def test_a_click_chooses_the_object_that_is_seen_there():
    masks = np.zeros((2, 6, 8), bool)
    masks[0, 1:4, 1:5], masks[1, 2:6, 3:8] = True, True
    masks[1, 5, 3] = False  # in the box, not in the mask
    boxes = [(1, 1, 5, 4), (3, 2, 8, 6)]
    point, label = np.ones((1, 2), np.float32), np.ones(1, np.int32)
    above, below = (
        Instance(word, i, encode(masks[i]), boxes[i], int(masks[i].sum()), score, 1.0, score, point, label)
        for i, (word, score) in enumerate((("above", 0.9), ("below", 0.6)))
    )
    empty = np.zeros((6, 8), np.uint16)
    result = Segmentation(("above", "below"), empty, empty, empty.astype(np.float32), (above, below), (1, 1), 2, {})
    assert topmost(result, 4, 3) is above
    assert topmost(result, 5, 3) is below
    assert topmost(result, 3, 5) is None
    assert topmost(result, 0, 0) is None


def test_only_the_stages_whose_inputs_changed_run_again(unused_workbench, runs, asked):
    def ran(**changes):
        runs.clear()
        reply(unused_workbench, replace(asked, **changes))
        return tuple(runs[name] for name in STAGES)

    assert ran() == (1, 1, 1)
    assert ran(view="class map") == (0, 0, 0)
    assert ran(min_confidence=0.5) == ran(min_region_size=500) == ran(iou_threshold=0.3) == (0, 0, 1)
    assert ran(use_loftup=True) == (0, 1, 1)
    assert ran(words="orange zigzag") == (0, 1, 1)
    assert ran() == (0, 0, 0)


def test_the_summary_tells_the_times_of_what_ran(unused_workbench, asked):
    assert "sam2 encoder" in reply(unused_workbench, asked).summary
    assert "kept from before" in reply(unused_workbench, asked).summary


def test_a_changed_file_of_the_same_name_is_another_photo(unused_workbench, runs, asked, scene, tmp_path):
    photo = tmp_path / "photo.png"
    for source in (scene, scene.with_name("05.png"), scene):
        photo.write_bytes(source.read_bytes())
        reply(unused_workbench, replace(asked, photo=str(photo)))
    assert runs["encode"] == 2


def test_a_moved_threshold_gives_what_the_segmenter_gives(workbench, segmenter, scene):
    found = []
    for options in (BILINEAR, replace(BILINEAR, min_confidence=0.2, min_region_size=6000)):
        kept = workbench.segment(scene, words_of(WORDS), options).result
        fresh = segmenter(scene, words_of(WORDS), background=(), options=options)
        assert list(map(coco_annotation, kept.instances)) == list(map(coco_annotation, fresh.instances))
        assert np.array_equal(kept.semantic, fresh.semantic)
        assert np.array_equal(kept.dense, fresh.dense)
        found.append(len(kept.instances))
    assert found[0] > found[1] > 0


class SlowSegmenter(StubSegmenter):
    """One that is slow in its class maps, and notices company there."""

    def segment(self, photo, queries, options, timer=None, *, dense, encoded):
        return self.segment_from(dense, encoded, queries, options, timer)


def test_people_wait_for_each_other_and_share_what_they_ask_alike(tmp_path):
    photo = write_photos(tmp_path, 1) / "000.png"
    slow = SlowSegmenter(delay=0.05)
    workbench = Workbench(slow, ())
    with ThreadPoolExecutor(6) as people:
        asked = [people.submit(workbench.segment, photo, [word], Options()) for word in ("red", "green") * 3]
    assert len({id(one.result().result) for one in asked}) == 2
    assert (len(slow.calls), slow.most_at_once) == (2, 1)


def test_what_was_used_longest_ago_is_dropped_first():
    made: list[str] = []
    recent = LruCache(10)

    def get(key, size=4):
        return recent.get(key, lambda: made.append(key) or key, lambda value: size)

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert made == ["a", "b", "c", "b"]
    assert [get("huge", 50), get("huge", 50)] == ["huge", "huge"]
    assert made[-2:] == ["b", "huge"]


def test_what_cannot_be_made_is_tried_again():
    recent = LruCache(10)
    with pytest.raises(ZeroDivisionError):
        recent.get("a", lambda: 1 // 0, lambda value: 1)
    assert recent.get("a", lambda: 5, lambda value: 1) == 5


def test_the_page_shows_the_photo_until_there_are_words(workbench, asked, scene):
    assert reply(workbench, replace(asked, photo=None)).picture is None
    shown = reply(workbench, replace(asked, words=" \n"))
    assert "type the words" in shown.summary
    assert not shown.files
    photo = np.array(Image.open(scene).convert("RGB")).astype(int)
    assert np.abs(opened(shown.picture)[::2, ::2].astype(int) - photo).mean() < 6  # twice the size, JPEG


def test_the_files_are_those_of_a_run(workbench, asked, scene, fast_tiny, tmp_path):
    shown = reply(workbench, asked)
    assert [*shown.files] == ["04.json", "04.png", "04_overlay.jpg"]
    words = ["--vocabulary", *words_of(WORDS), "--background", "none", "--no-loftup", "--bundle", str(fast_tiny)]
    options = ["--min-region-size", "100", "--threads", "1", "--output", str(tmp_path)]
    assert main(["run", str(scene), *words, *options]) == 0
    found, written = json.loads(shown.files["04.json"]), json.loads((tmp_path / "annotations.json").read_text())
    assert found["annotations"] == written["annotations"]
    assert found["categories"] == written["categories"]
    assert shown.files["04.png"] == (tmp_path / "semantic" / "04.png").read_bytes()


def test_a_click_tells_word_score_and_prompt(workbench, asked):
    shown = reply(workbench, asked, (2 * 235, 2 * 150))
    instance = next(each for each in json.loads(shown.files["04.json"])["annotations"] if each["category_id"] == 1)
    ((x, y),) = instance["points"]
    assert "orange zigzag" in shown.chosen
    assert f"{instance['score']:.3f} = {instance['agreement']:.3f} (agreement)" in shown.chosen
    assert f"({x:.0f}, {y:.0f}) inside" in shown.chosen
    assert shown.picture != reply(workbench, asked).picture


def test_a_click_beside_the_objects_tells_the_class_map(workbench, asked, segmenter, scene):
    nothing = replace(asked, min_confidence=1.0)
    result = segmenter(scene, words_of(WORDS), background=(), options=BILINEAR)
    word = result.words[result.dense[0, -1] - 1]
    assert f"No object here. Class map: {word}, " in reply(workbench, nothing, (1e6, -3)).chosen


def test_the_objects_are_listed_with_their_scores_and_colours(workbench, asked):
    shown = reply(workbench, asked)
    found = json.loads(shown.files["04.json"])["annotations"]
    words = words_of(WORDS)
    colours = word_colours(words)
    rows = re.findall(r'background: (#\w+)"></i><span>(.*?)</span><b>(.*?)</b>', shown.objects)
    assert rows == [
        (hex_colour(colours[i]), words[i], f"{each['score']:.2f}") for each in found for i in (each["category_id"] - 1,)
    ]
    assert len(rows) > 2
    assert reply(workbench, replace(asked, min_confidence=1.0)).objects == ""


def test_the_pictures_alternative_text_tells_what_it_shows(workbench, asked):
    shown = reply(workbench, asked)
    count = len(json.loads(shown.files["04.json"])["annotations"])
    assert shown.alt.startswith(f"04.png with {count} masks: ")
    assert "orange zigzag 0." in shown.alt
    assert reply(workbench, asked, (2 * 235, 2 * 150)).alt.startswith("04.png with 1 mask: orange zigzag 0.")
    assert reply(workbench, replace(asked, view="class map")).alt == "04.png, class map"
    assert reply(workbench, replace(asked, min_confidence=1.0)).alt == "04.png with 0 masks"
    assert reply(workbench, replace(asked, words="")).alt == "04.png"


@pytest.mark.parametrize("domain", ["synthetic", "photos", "random"])
def test_examples_are_photos_with_words(domain):
    examples = examples_for(domain)
    assert len(examples) == 4
    for example in examples:
        assert load_file(example.path, DEFAULTS).pixels.shape[2] == 3
        assert len(words_of(example.words)) > 2
        assert example.about
    assert (examples_for("synthetic") == examples) == (domain == "synthetic")


def test_the_synthetic_examples_have_the_objects_of_their_words(workbench, asked):
    example = examples_for("synthetic")[0]
    shown = reply(workbench, replace(asked, photo=str(example.path), words=example.words))
    assert sum(f"<span>{word}</span>" in shown.objects for word in words_of(example.words)) >= 4


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"no photo", None], ids=["empty", "cut", "text", "gone"])
def test_a_photo_that_cannot_be_used_is_told_by_its_name(workbench, asked, tmp_path, content):
    bad = tmp_path / "<b>holiday.jpg"
    if content is not None:
        bad.write_bytes(content)
    shown = reply(workbench, replace(asked, photo=str(bad)))
    assert shown.picture is None
    assert "&lt;b&gt;holiday.jpg" in shown.summary
    assert "<b>" not in shown.summary
    assert str(tmp_path) not in shown.summary


def test_words_and_thresholds_that_do_not_fit_are_told(workbench, asked):
    assert "expected at most 200" in reply(workbench, replace(asked, words="a," * 300)).summary
    assert "must lie between 0 and 1" in reply(workbench, replace(asked, min_confidence=7.0)).summary


def test_typed_markup_stays_text(workbench, asked):
    shown = reply(workbench, replace(asked, words="<img src=x>", min_confidence=1.0))
    assert "Nothing found" in shown.summary
    assert "&lt;img src=x&gt;" in shown.summary
    assert "<img" not in shown.summary


def test_without_gradio_the_command_names_its_extra(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["demo"]) == 2
    assert "pip install '.[demo]'" in capsys.readouterr().err


def test_a_taken_port_is_told_before_anything_is_loaded(monkeypatch, capsys):
    monkeypatch.setattr("wordmask.extras.need", lambda *needs: None)
    monkeypatch.delattr("wordmask.pipeline.Segmenter")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 2
    assert f"cannot listen at 127.0.0.1, port {port}" in capsys.readouterr().err


def test_background_words_that_are_one_string_are_refused():
    with pytest.raises(VocabularyError, match="the background words are 'none': give a list of strings"):
        Workbench(None, "none")
