"""The report of a run in a browser: what it shows, filters and switches, and what it refuses to run."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from folder_runs import run
from stub_segmenter import StubSegmenter, Trouble, write_photos
from wordmask.dense.classmap import ClassMap
from wordmask.outputs.rows import DoneRow
from wordmask.outputs.run_record import BundleRecord, RunRecord, TotalsRecord
from wordmask.report.data import Found, ReportPhoto, Run
from wordmask.report.html import report_page
from wordmask.run.request import OutputOptions

pytestmark = pytest.mark.servers

HOSTILE = "<script>document.title = 'taken'</script>"
RECORD = RunRecord(
    finished=True,
    settings={"device": "cpu"},
    bundle=BundleRecord("stub", "photos", "fp32", {}, loftup=True),
    totals=TotalsRecord(1000, {"ok": 1000}, 2000, seconds=1000.0, images_per_second=1.0),
    stage_seconds={},
    prompts_per_image=2.0,
    prompt_reduction={},
)
WORDS = ("red", HOSTILE, "quo\"te's", "nowhere")


class Sharpened(StubSegmenter):
    """One whose class map differs without LoftUp: the first word everywhere."""

    def uses_loftup(self, options):
        return options.use_loftup is not False

    def class_map(self, photo, queries, options, timer=None):
        if self.uses_loftup(options):
            return super().class_map(photo, queries, options, timer)
        everywhere = np.zeros(photo.shape[:2], np.int32)
        return ClassMap(everywhere, np.ones(photo.shape[:2], np.float32), np.ones(1, np.float32))


def hostile_name(folder: Path) -> Path:
    """Photos of which the second has a name with all that an address or an attribute could stumble over."""
    (folder / "001.png").rename(folder / '"><img src=x onerror=alert(1)>&#39; %41#?.png')
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    """A run of six photos, one of which failed."""
    photos = write_photos(tmp_path_factory.mktemp("photos"), 6, {4: Trouble.NAN})
    out = tmp_path_factory.mktemp("run")
    run(hostile_name(photos), out, segmenter=Sharpened(), words=WORDS, outputs=OutputOptions(report=True))
    return out


@pytest.fixture
def report(chromium, out):
    """Its report, opened; at the end nothing may have gone wrong."""
    chromium.open(out / "report.html")
    yield chromium
    assert chromium.complaints() == []
    assert chromium.driver.title == "wordmask run"


def shown(browser) -> list[str]:
    return [card.find_element("css selector", "b").text for card in browser.visible(".card-photo")]


def opened(browser, number: int) -> None:
    browser.visible(".card-photo")[number].click()
    assert browser.one("#viewer").is_displayed()


def test_it_opens_with_every_photo_and_its_totals(report):
    assert len(shown(report)) == 6
    assert shown(report)[0] == "004"  # which failed
    assert report.one("h2").text == "Photos that failed"
    assert [card.text.replace("\n", " ") for card in report.visible(".card")][:2] == ["5 photos done", "1 failed"]
    loaded = "return [...document.querySelectorAll('.card-photo img')].every((i) => i.complete && i.naturalWidth > 0)"
    assert report.script(loaded)
    assert report.script("return getComputedStyle(document.querySelector('.card-photo img')).objectFit") == "contain"
    report.keep("report-light", whole=True)


def test_hostile_words_and_names_are_text(report):
    assert HOSTILE in report.one("#word").text
    assert any(name.endswith("onerror=alert(1)_&#39; %41#_") for name in shown(report))  # of its outputs
    assert not report.all("#gallery [onerror]")
    number = next(i for i, name in enumerate(shown(report)) if "onerror" in name)
    opened(report, number)
    assert HOSTILE in report.one("#objects").text
    assert report.script("return document.getElementById('photo').naturalWidth") == 40


def test_a_word_and_a_score_filter_the_photos(report, out):
    expected = {word: photos_with(out, word, 0.0) for word in range(3)}
    report.set("#word", "1")
    assert len(shown(report)) == expected[1]
    assert report.one("#count").text == f"{expected[1]} of 6"
    report.set("#score", 0.2)
    assert len(shown(report)) == photos_with(out, 1, 0.2) < expected[1]
    report.set("#score", 1)
    assert shown(report) == []
    report.one("#none button").click()
    assert len(shown(report)) == 6


def photos_with(out: Path, word: int, least: float) -> int:
    found = json.loads((out / "annotations.json").read_text(encoding="utf-8"))["annotations"]
    return len({each["image_id"] for each in found if each["category_id"] == word + 1 and each["score"] >= least})


def test_states_names_and_orders(report):
    report.set("#state", "failed")
    assert shown(report) == ["004"]
    report.set("#state", "all")
    report.set("#name", "00")
    assert shown(report) == ["004", "000", "002", "003", "005"]
    report.set("#order", "run")
    assert shown(report) == ["000", "002", "003", "004", "005"]
    report.set("#order", "many")
    counts = [len(each.text.split(", ")) for each in report.visible(".card-photo small")][:-1]
    assert counts == sorted(counts, reverse=True)


def test_layers_and_objects_can_be_switched_off(report):
    opened(report, 1)
    assert len(report.visible(".fills .mask")) == len(report.visible("#objects li")) > 1
    report.keep("viewer-light")
    report.one("#objects input").click()
    assert len(report.visible(".fills .mask")) == len(report.visible("#objects li")) - 1
    for layer in ("masks", "words", "prompts"):
        report.one(f"#show-{layer}").click()
    assert not report.visible("#drawing :not(g)")
    report.one("#show-photo").click()
    assert not report.visible("#photo")


def test_a_slider_moves_between_bilinear_and_loftup(report):
    opened(report, 1)
    assert not report.visible("#cut")
    report.one("#show-map").click()
    cut = report.one("#cut")
    clip = "return getComputedStyle(document.getElementById('after')).clipPath"
    assert "50%" in report.script(clip)
    cut.send_keys(Keys.ARROW_LEFT * 3)
    assert "47%" in report.script(clip)
    cut.send_keys(Keys.HOME)
    assert report.script(clip) == "inset(0px 0px 0px 0%)"
    report.keep("viewer-map")


def test_the_viewer_steps_through_what_the_filter_left(report):
    report.set("#name", "00")
    report.set("#order", "run")
    opened(report, 0)
    report.one("#next").click()
    assert report.one("#viewer-name").text == "002"
    report.press(Keys.ARROW_LEFT)
    assert report.one("#viewer-name").text == "000"
    assert not report.one("#previous").is_enabled()
    report.press(Keys.ESCAPE)
    assert not report.visible("#viewer")
    assert report.script("return document.activeElement.querySelector('b').textContent") == "000"


def test_a_failure_shows_its_code_and_what_was_the_matter(report):
    assert "NUMERIC" in report.one("main").text
    opened(report, 0)
    assert report.one("#trouble").text.startswith("NUMERIC: ")
    assert not report.visible("#frame")


def test_dark_and_narrow(chromium, out):
    chromium.open(out / "report.html", dark=True)
    assert chromium.script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    chromium.keep("report-dark", whole=True)
    chromium.open(out / "report.html", width=390, height=844)
    assert chromium.script("return document.documentElement.scrollWidth") <= 390
    opened(chromium, 1)
    assert chromium.script("return document.querySelector('#viewer').scrollWidth") <= 390
    chromium.keep("viewer-narrow")


def done_row(name: str) -> DoneRow:
    return DoneRow(
        photo=f"{name}.jpg",
        name=name,
        bytes=None,
        modified_ns=None,
        notes=(),
        height=1500,
        width=2000,
        instances=2,
        prompts=2,
        word_confidence={},
        seconds={"clip": 0.1},
    )


SQUARE = "M{x} {y}l{side} 0 0 {side}-{side} 0z"


@pytest.mark.parametrize("width", [1400, 400])
def test_labels_cover_neither_each_other_nor_small_objects(chromium, tmp_path, width):
    corners = [(900 + 45 * i, 700 + 50 * (i % 3)) for i in range(8)]
    objects = [
        Found(i % 4, 0.9 - i / 20, 0.9, 0.9, 0.9, ((x + 15, y + 15, 1),), SQUARE.format(x=x, y=y, side=30))
        for i, (x, y) in enumerate(corners)
    ]
    wall = Found(3, 0.3, 0.9, 0.9, 0.9, ((300, 300, 1),), SQUARE.format(x=100, y=100, side=1300), large=True)
    photo = ReportPhoto(done_row("a"), (1500, 2000), (*objects, wall), {})
    (tmp_path / "report.html").write_bytes(report_page(Run(WORDS, RECORD, (photo,))))
    chromium.open(f"{(tmp_path / 'report.html').as_uri()}#photo-1", width=width)
    chromium.keep(f"viewer-labels-{width}")
    boxes = chromium.script(
        "return [...document.querySelectorAll('.word:not(.no-place) rect, .fills .mask:not(.large)')]"
        ".map((each) => each.getBBox()).map((box) => [box.x, box.y, box.x + box.width, box.y + box.height])"
    )
    assert len(boxes) > 13
    assert not [1 for a, b in itertools.combinations(boxes[8:], 2) if meet(a, b)]
    assert not [1 for label in boxes[8:] for small in boxes[:8] if meet(label, small)]
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= 2000 and box[3] <= 1500 for box in boxes)
    ends = chromium.script(
        "return [...document.querySelectorAll('.leader:not(.casing)')]"
        ".map((line) => [line.x2.baseVal.value, line.y2.baseVal.value])"
    )
    assert ends[:8] == [[x + 15, y + 15] for x, y in corners]
    assert chromium.complaints() == []


def meet(a: list[float], b: list[float]) -> bool:
    least = 0.01  # units of the drawing: a browser's numbers are float32
    return min(a[2], b[2]) - max(a[0], b[0]) > least and min(a[3], b[3]) - max(a[1], b[1]) > least


def test_the_top_masks_colour_is_seen_where_masks_overlap(chromium, tmp_path):
    below, above = (
        Found(word, score, 0.9, 0.9, 0.9, (), SQUARE.format(x=x, y=500, side=600))
        for word, score, x in ((0, 0.5, 700), (1, 0.8, 400))
    )
    photo = ReportPhoto(done_row("a"), (1500, 2000), (above, below), {})
    (tmp_path / "report.html").write_bytes(report_page(Run(WORDS, RECORD, (photo,))))
    chromium.open(f"{(tmp_path / 'report.html').as_uri()}#photo-1")
    pixels = np.array(Image.open(chromium.keep("viewer-overlap")).convert("RGB")).astype(int)
    frame = chromium.script(
        "const b = document.getElementById('drawing').getBoundingClientRect(); return [b.x, b.y, b.width]"
    )

    def at(x: int, y: int) -> list[int]:
        scale = frame[2] / 2000
        return pixels[round(frame[1] + y * scale), round(frame[0] + x * scale)].tolist()

    both, upper, lower = at(850, 1050), at(500, 1050), at(1150, 1050)
    assert np.abs(np.subtract(both, upper)).max() <= 2  # the browser rounds
    assert np.abs(np.subtract(upper, lower)).max() > 20


def test_a_thousand_photos_filter_at_once_and_load_what_is_seen(chromium, tmp_path):
    write_photos(tmp_path, 1)
    outline = "M10 10" + "l5 7-3 4" * 150 + "z"
    photos = []
    for i in range(1000):
        objects = tuple(Found(word, 0.9 - i / 2000, 0.9, 0.9, 0.9, ((50, 50, 1),), outline) for word in (0, 1 + i % 3))
        photos.append(ReportPhoto(done_row(f"{i:04d}"), (1500, 2000), objects, {"thumbs": f"000.png?{i}"}))
    (tmp_path / "report.html").write_bytes(report_page(Run(WORDS, RECORD, tuple(photos))))
    chromium.open(tmp_path / "report.html")
    assert chromium.script("return performance.timing.domComplete - performance.timing.navigationStart") < 5000
    loaded = chromium.script("return [...document.images].filter((image) => image.naturalWidth > 0).length")
    assert 0 < loaded < 200
    took = chromium.script(
        "const word = document.getElementById('word'), begin = performance.now(); word.value = '2';"
        "word.dispatchEvent(new Event('input', {bubbles: true})); document.body.offsetHeight;"
        "return performance.now() - begin"
    )
    assert chromium.one("#count").text == "333 of 1,000"
    assert took < 500  # milliseconds; some 10 on an idle machine
    assert chromium.complaints() == []


def test_what_the_policy_does_not_vouch_for_does_not_run(chromium, out, tmp_path):
    page = (out / "report.html").read_text(encoding="utf-8")
    taken = tmp_path / "taken.html"
    taken.write_text(page.replace("</body>", f"{HOSTILE}<b style='color:red'>x</b></body>"), encoding="utf-8")
    chromium.open(taken)
    assert chromium.driver.title == "wordmask run"
    refused = chromium.complaints()
    assert any("script-src" in each for each in refused)
    assert any("style-src" in each for each in refused)


def test_it_can_be_taken_elsewhere_with_its_pictures(chromium, out, tmp_path):
    shutil.copy(out / "report.html", tmp_path)
    shutil.copytree(out / "report_assets", tmp_path / "report_assets")
    chromium.open(tmp_path / "report.html")
    assert chromium.script("return document.querySelector('.card-photo img').naturalWidth") == 40
    assert chromium.complaints() == []
