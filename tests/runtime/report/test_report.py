"""The report of a run: what it is made from, when it is made, and outlines that are their masks."""

from __future__ import annotations

import json
import os
import re
import shutil
from html import unescape
from urllib.parse import unquote_to_bytes

import cv2
import numpy as np
import pytest
from PIL import Image

from folder_runs import command, run
from stub_segmenter import StubSegmenter, write_photos
from wordmask import rle
from wordmask.cli.main import main
from wordmask.formats.word_colours import word_colours
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import JOURNAL
from wordmask.photo.options import ReadOptions
from wordmask.report.page import page
from wordmask.report.pictures import Shape, make_pictures
from wordmask.report.svg_outlines import GRID, MOST_POINTS, grid_size, outline, svg_path
from wordmask.report.writing import write_report
from wordmask.run.find_photos import find_photos
from wordmask.run.request import OutputOptions

REPORTING = OutputOptions(report=True)


def read(out):
    """The report's data: what it says of all photos, and of each."""
    text = (out / "report.html").read_text(encoding="utf-8")
    block = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1]
    index, *photos = map(json.loads, block.split("\n"))
    return index, photos


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", 4)


def test_it_tells_of_every_photo_what_the_run_found(photos, tmp_path):
    run(photos, tmp_path / "out", outputs=REPORTING)
    index, shown = read(tmp_path / "out")
    found = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="utf-8"))
    assert [photo["name"] for photo in shown] == ["000", "001", "002", "003"]
    scores = [(word, score) for photo in shown for word, score, *_ in photo["objects"]]
    assert scores == [(each["category_id"] - 1, each["score"]) for each in found["annotations"]]
    for (failed, pairs), photo in zip(index["photos"], shown, strict=True):
        assert not failed
        assert pairs == [value for word, score, *_ in photo["objects"] for value in (word, score)]
        for address in photo["pictures"].values():
            assert (tmp_path / "out" / address).is_file()


def test_a_run_that_is_done_gets_its_report_without_segmenting_again(photos, tmp_path):
    run(photos, tmp_path / "out")
    segmenter = StubSegmenter()
    run(photos, tmp_path / "out", segmenter=segmenter, outputs=REPORTING)
    assert not segmenter.calls
    _, shown = read(tmp_path / "out")
    assert all(photo["objects"] and "photos" in photo["pictures"] for photo in shown)
    assert not any("maps" in photo["pictures"] for photo in shown)  # that run kept none


def test_a_continued_run_has_the_report_of_one_that_was_never_interrupted(photos, tmp_path):
    run(photos, tmp_path / "whole", outputs=REPORTING)
    run(photos / "000.png", tmp_path / "continued", outputs=REPORTING)
    run(photos, tmp_path / "continued", outputs=REPORTING)

    def timeless(out):
        index, shown = read(out)
        return index, [{key: value for key, value in photo.items() if key != "seconds"} for photo in shown]

    assert timeless(tmp_path / "continued") == timeless(tmp_path / "whole")
    pictures = [
        {str(path.relative_to(out)): path.read_bytes() for path in (out / "report_assets").rglob("*.*")}
        for out in (tmp_path / "continued", tmp_path / "whole")
    ]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 3 * 4


def test_a_photo_that_is_gone_by_then_keeps_its_results(photos, tmp_path):
    out, jobs = tmp_path / "out", find_photos([photos])
    record = run(photos, out)
    shutil.move(photos / "001.png", tmp_path)
    write_report(out, record, Journal(out / JOURNAL), jobs, ["red", "green"], ReadOptions())
    _, shown = read(out)
    assert shown[1]["objects"]
    assert shown[1]["pictures"] == {}
    shutil.move(tmp_path / "001.png", photos)
    write_report(out, record, Journal(out / JOURNAL), jobs, ["red", "green"], ReadOptions())
    assert set(read(out)[1][1]["pictures"]) == {"photos", "thumbs"}


def test_restart_clears_the_report_and_its_pictures(photos, tmp_path):
    run(photos, tmp_path / "out", outputs=REPORTING)
    (tmp_path / "out" / "report_assets" / "mine.txt").write_text("mine")
    run(photos / "000.png", tmp_path / "out", restart=True)
    assert not (tmp_path / "out" / "report.html").exists()
    assert [path.name for path in (tmp_path / "out" / "report_assets").rglob("*")] == ["mine.txt"]


def test_the_command_line_makes_it(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("wordmask.pipeline.Segmenter", StubSegmenter)
    assert main([*command(photos, tmp_path / "out")[3:], "--report"]) == 0
    assert f"to look at: {tmp_path / 'out' / 'report.html'}" in capsys.readouterr().out
    assert read(tmp_path / "out")[1][0]["pictures"].keys() == {"photos", "thumbs", "maps"}


def test_addresses_lead_to_the_pictures_whatever_a_photo_is_called(tmp_path):
    photos = write_photos(tmp_path / "photos", 3)
    (photos / "000.png").rename(photos / os.fsdecode(b"no unicode \xff.png"))
    (photos / "001.png").rename(photos / "100%41 #?&'\"<b>.png")
    run(photos, tmp_path / "out", outputs=REPORTING)
    for photo in read(tmp_path / "out")[1]:
        for address in photo["pictures"].values():
            assert (tmp_path / "out" / os.fsdecode(unquote_to_bytes(address))).is_file()


def test_class_maps_of_more_words_than_a_palette_has_are_shown_too(photos, tmp_path):
    words = tuple(f"word {i}" for i in range(300))
    run(photos, tmp_path / "out", words=words, outputs=REPORTING)
    with (
        Image.open(tmp_path / "out" / "dense" / "000.png") as kept,
        Image.open(tmp_path / "out" / "report_assets" / "maps" / "000.png") as shown,
    ):
        labels, colours = np.asarray(kept), np.asarray(shown.convert("RGBA"))
    assert labels.dtype == np.uint16
    assert (labels > 0).any()
    assert ((colours[..., 3] > 0) == (labels > 0)).all()


def test_large_photos_are_shown_smaller(tmp_path):
    photos = write_photos(tmp_path / "photos", 1, side=1600)
    run(photos, tmp_path / "out", outputs=REPORTING)
    for kind, name, side in (("photos", "000.jpg", 1280), ("thumbs", "000.jpg", 400), ("maps", "000.png", 1280)):
        with Image.open(tmp_path / "out" / "report_assets" / kind / name) as picture:
            assert max(picture.size) == side


@pytest.mark.parametrize("size", [(40, 64), (480, 640)])
def test_an_outline_filled_by_the_even_odd_rule_is_its_mask(size):
    height, width = size
    y, x = np.mgrid[:height, :width]
    disc = np.hypot(y - height / 2, x - width / 2) < height / 3
    hole = np.hypot(y - height / 2, x - width / 2) < height / 8
    mask = (disc & ~hole) | (x > width - 8)
    ys, xs = np.nonzero(mask)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    contours = outline(rle.encode(mask), box)
    assert len(contours) == 3
    filled = np.zeros(grid_size(size), np.uint8)
    cv2.fillPoly(filled, contours, 1)
    whole = cv2.resize(mask.astype(np.uint8), filled.shape[::-1], interpolation=cv2.INTER_NEAREST)
    assert (filled & whole).sum() / (filled | whole).sum() > 0.96  # half a pixel of a small photo, at most


def test_a_mask_of_one_pixel_has_an_outline():
    mask = np.zeros((1000, 2000), bool)
    mask[10, 20] = True
    (contour,) = outline(rle.encode(mask), (20, 10, 21, 11))
    assert contour.tolist() == [[20, 10], [21, 10], [21, 11], [20, 11]]


def test_a_ragged_mask_is_drawn_roughly_its_largest_parts_first():
    mask = np.random.default_rng(0).random((600, 800)) < 0.3
    mask[100:400, 200:500] = True
    contours = outline(rle.encode(mask), (0, 0, 800, 600))
    assert sum(map(len, contours)) <= MOST_POINTS
    filled = np.zeros(grid_size(mask.shape), np.uint8)
    cv2.fillPoly(filled, contours, 1)
    assert filled[300:950, 550:1200].mean() > 0.95  # the large square


def test_a_path_goes_by_relative_steps():
    contours = [np.array([(10, 20), (30, 15), (25, 40)], np.int32), np.array([(0, 0), (5, 0), (5, GRID)], np.int32)]
    assert svg_path(contours) == "M10 20l20-5-5 25zM0 0l5 0 0 2000z"


def test_a_page_holds_text_as_text_and_data_as_data():
    made = page("<b>", "", scripts=["1;"], data=[{"word": "</script><script>x"}]).decode()
    assert "<title>&lt;b&gt;</title>" in made
    assert made.count("<script") == 2
    assert json.loads(re.search(r'id="data">(.*?)</script>', made)[1]) == {"word": "</script><script>x"}
    assert "unsafe" not in unescape(made)


@pytest.mark.parametrize("script", ["</script>", "<!-- x"])
def test_a_script_that_would_end_inside_html_is_refused(script):
    with pytest.raises(ValueError, match="would end it"):
        page("title", "", scripts=[script])


def test_thumbnails_and_class_maps_have_the_words_colours_and_a_wall_is_only_outlined(tmp_path):
    Image.fromarray(np.full((200, 400, 3), 100, np.uint8)).save(tmp_path / "photo.png")
    (tmp_path / "dense").mkdir()
    Image.fromarray(np.repeat(np.array([[0, 1, 2, 0]], np.uint8), 100, axis=1)).save(tmp_path / "dense" / "a.png")
    words, (cat, wall) = ["cat", "wall"], word_colours(["cat", "wall"])
    square = np.array([(200, 200), (800, 200), (800, 800), (200, 800)], np.int32)
    shapes = [Shape(cat, [square], large=False), Shape(wall, [np.add(square, (1000, 0))], large=True)]
    made = make_pictures(tmp_path, "a", tmp_path / "photo.png", (200, 400), shapes, words, ReadOptions())
    thumbnail = np.asarray(Image.open(made["report_assets/thumbs"])).astype(float)
    assert np.abs(thumbnail[60:140, 60:140] - (65 + 0.35 * np.array(cat))).max() < 6  # JPEG
    assert np.abs(thumbnail[60:140, 260:340] - 100).max() < 6
    assert np.abs(thumbnail[60:140, 240].mean(axis=0) - 100).max() > 30  # its outline
    shown = np.asarray(Image.open(made["report_assets/maps"]).convert("RGBA"))[0, ::100].tolist()
    assert shown[1:3] == [[*cat, 255], [*wall, 255]]
    assert [pixel[3] for pixel in shown] == [0, 255, 255, 0]
