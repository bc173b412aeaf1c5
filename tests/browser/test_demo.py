"""`wordmask demo` in a browser: a photo in, words in, masks out."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from wordmask import Options, Segmentation, Segmenter
from wordmask.demo.examples import SCENES

pytestmark = pytest.mark.servers

WORDS = ("orange zigzag", "blue zigzag", "yellow zigzag", "black striped", "black checkered")
PATIENCE = 20  # seconds; an answer takes one or two


@pytest.fixture(scope="module")
def server(fast_tiny, tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The command, as its user starts it and ends it with Ctrl-C."""
    if importlib.util.find_spec("gradio") is None:
        pytest.skip("Gradio is not installed: pip install '.[demo]'")
    temporary = tmp_path_factory.mktemp("temporary")
    options = ("--bundle", str(fast_tiny), "--threads", "1", "--background", "none")
    command = (sys.executable, "-m", "wordmask", "demo", *options)
    environment = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert "trained on synthetic scenes" in process.stdout.readline()
            line = process.stdout.readline()
            assert "http://127.0.0.1:" in line
            assert list(temporary.glob("wordmask-demo-*"))
            yield SimpleNamespace(address=line.split()[2])
            process.send_signal(signal.SIGINT)
            assert process.wait(PATIENCE) == 128 + signal.SIGINT
            assert "Traceback" not in process.stdout.read()
        finally:
            process.kill()
    assert list(temporary.glob("wordmask-demo-*")) == []


@pytest.fixture(scope="module")
def segmenter(fast_tiny) -> Segmenter:
    return Segmenter(fast_tiny, threads=1)


@pytest.fixture(scope="module")
def scene(examples: Path) -> Path:
    return examples.parent / "scenes" / "04.png"


@pytest.fixture(scope="module")
def result(segmenter, scene) -> Segmentation:
    """What the page should find."""
    return segmenter(scene, WORDS, background=())


class Page:
    """The open page, used as a person would."""

    def __init__(self, browser, address: str) -> None:
        self.browser = browser
        browser.open(address)
        self.wait(lambda: browser.all("#photo input[type=file]"))

    def wait(self, happens: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not happens():
            assert time.monotonic() < end, self.browser.one("body").text
            time.sleep(0.05)

    @property
    def summary(self) -> str:
        return self.browser.one("#summary").text

    def ask(self, photo: Path, words: str) -> None:
        """Uploads a photo, types words and waits for what is said about them."""
        self.browser.one("#photo input[type=file]").send_keys(str(photo))
        self.wait(lambda: self.browser.all("#picture img"))
        self.browser.one("#words textarea").send_keys(words)
        self.changed(self.browser.one("#start").click)

    def changed(self, act: Callable[[], object]) -> str:
        """Acts, and gives the summary that comes of it."""
        before = self.summary
        act()
        self.wait(lambda: self.summary != before)
        return self.summary

    def click(self, x: float, y: float) -> None:
        """Clicks the picture; x and y are parts of its width and height."""
        from selenium.webdriver import ActionChains

        image = self.browser.one("#picture img")
        offset = (round((x - 0.5) * image.size["width"]), round((y - 0.5) * image.size["height"]))
        ActionChains(self.browser.driver).move_to_element_with_offset(image, *offset).click().perform()

    def downloaded(self, button: str, name: str) -> bytes:
        """Clicks a download; gives the file."""
        folder = self.browser.pictures / "downloads"
        place = {"behavior": "allow", "downloadPath": str(folder)}
        self.browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", place)
        (folder / name).unlink(missing_ok=True)
        self.browser.one(button).click()
        self.wait((folder / name).is_file)
        return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def page(chromium, server, scene) -> Page:
    """With a scene and words in it; tests leave its controls as they found them."""
    page = Page(chromium, server.address)
    page.ask(scene, ", ".join(WORDS))
    return page


def test_the_masks_are_those_of_the_segmenter(page, result):
    assert page.summary.startswith(f"{len(result.instances)} masks from {result.prompt_count} prompts")
    found = json.loads(page.downloaded("#download-0", "04.json"))["annotations"]
    assert [each["area"] for each in found] == [instance.area for instance in result.instances]
    assert page.downloaded("#download-1", "04.png").startswith(b"\x89PNG")
    page.browser.keep("demo")


def test_the_objects_are_listed_and_the_picture_has_an_alternative_text(page, result):
    rows = [row.text.replace("\n", " ") for row in page.browser.all("#objects li")]
    assert rows == [f"{instance.word} {instance.score:.2f}" for instance in result.instances]
    alt = page.browser.one("#picture img").get_attribute("alt")
    assert alt.startswith(f"04.png with {len(rows)} masks: {rows[0]}, ")


def test_a_click_into_the_picture_tells_of_the_object_there(page, result):
    height, width = result.semantic.shape
    for word in ("yellow zigzag", "blue zigzag"):
        instance = next(each for each in result.instances if each.word == word)
        x, y = instance.points[0].tolist()
        page.click((x + 0.5) / width, (y + 0.5) / height)
        page.wait(lambda word=word: page.browser.one("#chosen").text.startswith(word))
        said = page.browser.one("#chosen").text
        assert f"{instance.score:.3f} = " in said
        assert f"({x:.0f}, {y:.0f}) inside" in said
    page.browser.keep("demo-object")


def test_loftup_off_and_a_moved_slider_run_only_what_they_must(page, segmenter, scene):
    bilinear = Options(use_loftup=False)
    fewer = Options(use_loftup=False, min_region_size=2000)
    count = [len(segmenter(scene, WORDS, background=(), options=options).instances) for options in (bilinear, fewer)]
    assert count[0] > count[1] > 0
    said = page.changed(page.browser.one("#loftup input").click)
    assert said.startswith(f"{count[0]} mask")
    assert "clip" in said
    assert "sam2 encoder" not in said
    said = page.changed(lambda: page.browser.set("#region input[type=range]", 2000))
    assert said.startswith(f"{count[1]} mask")
    assert "clip" not in said
    page.changed(lambda: page.browser.set("#region input[type=range]", 100))
    page.changed(page.browser.one("#loftup input").click)


def test_a_damaged_photo_is_told_on_the_page(page, scene, tmp_path):
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(scene.read_bytes()[:-1000])
    assert page.changed(page.browser.one("#photo button[aria-label=Clear]").click).startswith("Drop a photo")
    said = page.changed(lambda: page.browser.one("#photo input[type=file]").send_keys(str(damaged)))
    assert said.startswith("damaged.png: the PNG ends inside")
    assert not page.browser.all("#picture img")


def test_an_example_brings_its_photo_and_its_words(page):
    images = page.browser.all("#examples img")
    assert [image.get_attribute("alt") for image in images] == [example.about for example in SCENES]
    assert "masks from" in page.changed(images[0].click)
    assert page.browser.one("#words textarea").get_property("value") == SCENES[0].words
    assert SCENES[0].file in page.browser.one("#photo").text.replace("\n", "")
    assert len(page.browser.all("#objects li")) > 3


def test_on_a_phone_the_result_stands_first(page):
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    tops = [page.browser.one(selector).rect["y"] for selector in ("#picture", "#bar", "#objects", "#photo", "#words")]
    assert tops == sorted(tops)
    assert page.browser.script("return document.documentElement.scrollWidth") <= 400
    page.browser.keep("demo-phone", whole=True)
    metrics["width"] = 1280
    page.browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.browser.one("#photo").rect["x"] < page.browser.one("#picture").rect["x"]


def test_nothing_is_asked_of_the_internet_and_no_error_shown(page, server):
    asked = page.browser.script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len(asked) > 10
    assert {address for address in asked if not address.startswith((server.address, "data:", "blob:"))} == set()
    errors = [entry for entry in page.browser.driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
