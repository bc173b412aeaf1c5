"""The pages of wordmask compare and bench in a browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from selenium.webdriver.common.action_chains import ActionChains

from sharpened_segmenter import Sharpened
from wordmask.cli.main import main
from wordmask_bench.speed.page import page
from wordmask_bench.speed.report import read_report

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture
def comparison(chromium, tmp_path, monkeypatch):
    monkeypatch.setattr("wordmask.pipeline.Segmenter", Sharpened)
    photo = ROOT / "examples" / "scenes" / "02.png"
    words = ["--vocabulary", "red", HOSTILE, "--background", "none"]
    assert main(["compare", "--image", str(photo), *words, "--output", str(tmp_path / "comparison.html")]) == 0
    chromium.open(tmp_path / "comparison.html")
    yield chromium
    assert chromium.complaints() == []


def cut(browser) -> str:
    return browser.script("return getComputedStyle(document.querySelector('.after')).clipPath")


def test_a_comparison_slides_from_bilinear_to_loftup(comparison):
    assert comparison.script("return [...document.images].every((image) => image.naturalWidth === 384)")
    assert "50%" in cut(comparison)
    comparison.set(".sweep input", 25)
    assert "25%" in cut(comparison)
    frame = comparison.one(".frame")
    third = frame.size["width"] // 4
    ActionChains(comparison.driver).move_to_element_with_offset(frame, third, 0).click().perform()
    assert comparison.one(".sweep input").get_property("value") == "75"
    assert HOSTILE in comparison.one("main").text
    comparison.keep("compare-light", whole=True)


def test_a_comparison_fits_a_phone(comparison):
    comparison.driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    assert comparison.script("return document.documentElement.scrollWidth") <= 390
    comparison.keep("compare-narrow", whole=True)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_a_benchmarks_bars_are_drawn_without_complaint(chromium, tmp_path, width, dark):
    report = ROOT / "benchmarks" / "results" / "bench-1-one-window.json"
    (tmp_path / "bench.html").write_bytes(page(read_report(report)))
    chromium.open(tmp_path / "bench.html", width=width, dark=dark)
    assert chromium.script("return document.documentElement.scrollWidth") <= width
    ours, _, _, eager, _ = (bar.rect["width"] for bar in chromium.all("figure:first-of-type rect")[:5])
    assert ours / eager == pytest.approx(7141 / 11871, rel=0.01)
    chromium.keep(f"bench-{'dark' if dark else 'light'}", whole=True)
    assert chromium.complaints() == []
