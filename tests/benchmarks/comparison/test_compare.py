"""wordmask compare: its figures, its sheet, its command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpened_segmenter import Sharpened
from wordmask.cli.main import main
from wordmask.formats.word_colours import word_colours
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options
from wordmask_bench.comparison.compare import compare, region_sizes, uncertain_band
from wordmask_bench.comparison.pictures import GAP, TITLE, heat, marked, painted, sheet


@pytest.fixture
def photo() -> np.ndarray:
    """A red square of 40 by 40 pixels and a green one of 20 by 20, in 100 by 120 grey ones."""
    pixels = np.full((100, 120, 3), 90, np.uint8)
    pixels[10:50, 10:50] = (250, 0, 0)
    pixels[60:80, 70:90] = (0, 250, 0)
    return pixels


@pytest.fixture
def comparison(photo):
    stub = Sharpened()
    return compare(stub, photo, stub.embed(Vocabulary.parse(["red", "green"])), Options())


def test_the_figures_are_those_of_the_two_sides(comparison):
    before, after = comparison.before, comparison.after
    assert [len(side.result.instances) for side in (before, after)] == [1, 2]
    assert (before.regions, after.regions) == ((1600,), (1600, 400))
    assert (before.small_regions, after.small_regions) == (0, 1)  # fewer than 32 x 32 pixels
    assert comparison.disagreement == 400 / 12000
    assert comparison.differs[60:80, 70:90].all()
    assert comparison.metrics()[1:] == [
        ("regions", "", "1", "2"),
        ("regions under 1024 pixels", "", "0", "1"),
        ("prompts", "", "1", "2"),
        ("masks", "", "1", "2"),
        ("words with a mask", "", "1", "2"),
        ("agreement of masks, mean", "0 to 1", "1.000", "1.000"),
        ("uncertain band at borders", "pixels", f"{before.band:.2f}", f"{after.band:.2f}"),
        ("pixels of another class", "%", "", "3.33"),
    ]
    assert comparison.metrics()[0][:2] == ("time", "s")


def test_the_uncertain_band_is_as_wide_as_it_was_drawn():
    classes = np.zeros((60, 80), np.int32)
    classes[:, 40:] = 1
    confidence = np.full(classes.shape, 0.9, np.float32)
    assert uncertain_band(classes, confidence, 0.7) == 0
    confidence[:, 37:42] = 0.6
    confidence[:, :10] = 0.6  # far from a border
    assert uncertain_band(classes, confidence, 0.7) == 5
    assert uncertain_band(classes, confidence, 0.5) == 0
    assert uncertain_band(np.zeros_like(classes), confidence, 0.7) == 0


def test_the_bands_neighbourhood_reaches_sixteen_pixels():
    classes = np.zeros((60, 80), np.int32)
    classes[:, 40:] = 1
    assert uncertain_band(classes, np.zeros(classes.shape, np.float32), 0.7) == 2 * 16


def test_regions_follow_the_options(comparison):
    assert region_sizes(comparison.after.result, Options(min_region_size=401)) == (1600,)


def test_what_differs_is_red_on_grey(comparison):
    picture = marked(comparison.photo, comparison.differs)
    assert tuple(picture[70, 80]) == (230, 30, 90)
    assert len(set(picture[0, 0].tolist())) == 1


def test_class_maps_have_white_borders_and_confidence_rises_to_yellow(comparison):
    picture = painted(comparison.photo, comparison.after.result.dense, ["red", "green"])
    assert picture[10, 30].tolist() == [255, 255, 255]
    expected = 0.35 * np.array((250, 0, 0)) + 0.65 * np.array(word_colours(["red", "green"])[0])
    np.testing.assert_allclose(picture[30, 30], expected, atol=1)
    low, high = heat(np.array([[0, 1]], np.float32))[0].tolist()
    assert max(low) < 100
    assert min(high[:2]) > 200


def test_a_sheet_has_its_panels_in_rows_under_titles():
    panels = [[np.full((10, 20, 3), value, np.uint8) for value in row] for row in ((1, 2), (3, 4))]
    drawn = sheet(panels, ("a", "b"), 20, table=(("", "unit", "x"), ("time", "s", "1")))
    assert drawn.shape == (TITLE + 20 + GAP + 20 + 2 * TITLE + 2 * GAP, 40 + GAP + 40, 3)
    written = drawn[TITLE + 20 + GAP + 20 + GAP :]
    assert (written[:TITLE].min(axis=2) < 140).any()  # the head
    assert (written[TITLE + 2 : 2 * TITLE].min(axis=2) < 60).any()  # the row
    corners = drawn[np.ix_([TITLE, TITLE + 20 + GAP], [0, 40 + GAP], [0])]
    assert corners.ravel().tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["sheet.png", "sheet.jpg"])
def test_the_command_draws_a_sheet_and_prints_the_figures(photo, tmp_path, monkeypatch, capsys, name):
    assert called(photo, tmp_path, monkeypatch, name) == 0
    assert "| masks |  | 1 | 2 |" in capsys.readouterr().out
    with Image.open(tmp_path / name) as picture:
        assert picture.height > 2 * 360


@pytest.mark.parametrize(("name", "told"), [("sheet.tiff", "must end in"), ("sheet", "must end in")])
def test_another_kind_of_file_is_refused_before_the_work(photo, tmp_path, monkeypatch, capsys, name, told):
    assert called(photo, tmp_path, monkeypatch, name) == 2
    assert told in capsys.readouterr().err


def called(photo: np.ndarray, folder: Path, monkeypatch, name: str) -> int:
    """The command on a photo, with the stub in the place of the models."""
    monkeypatch.setattr("wordmask.pipeline.Segmenter", Sharpened)
    Image.fromarray(photo).save(folder / "photo.png")
    words = ["--vocabulary", "red", "green", "--background", "none"]
    return main(["compare", "--image", str(folder / "photo.png"), *words, "--output", str(folder / name)])
