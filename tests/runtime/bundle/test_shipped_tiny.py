"""The shipped bundle: found without being named, and right about scenes of the kind it was trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from photos import picture_size
from wordmask import Options, Segmenter
from wordmask.bundle.search import find_bundle
from wordmask.cli.main import main
from wordmask_bench.quality.scenes import FIRST_SEED, evaluate
from wordmask_bench.quality.worlds import WORLDS


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder without bundles."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORDMASK_MODELS", raising=False)
    return tmp_path


def test_it_is_found_from_any_folder_and_gives_way_to_a_default(elsewhere, small_bundle):
    shipped = find_bundle()
    assert shipped.name == "tiny"
    (elsewhere / "models_cache").mkdir()
    (elsewhere / "models_cache" / "default").symlink_to(small_bundle)
    assert find_bundle().name == "default"


def test_the_main_job_runs_without_naming_a_bundle(elsewhere, examples, capsys):
    scenes = examples.parent / "scenes"
    words = ["--vocabulary", f"@{scenes / 'words.txt'}", "--background", "none"]
    assert main(["run", str(scenes / "04.png"), *words, "--output", "out", "--overlay"]) == 0
    row = json.loads((elsewhere / "out" / "journal.jsonl").read_text())
    assert row["instances"] >= 3
    assert picture_size(elsewhere / "out" / "semantic" / "04.png") == picture_size(scenes / "04.png")
    assert "trained on synthetic scenes" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(1, 1), (1, 320), (20000, 16)])
def test_photos_of_extreme_shapes_give_a_result(size):
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    result = Segmenter("tiny", threads=1)(photo, ["red", "blue"], background=())
    assert result.semantic.shape == result.dense.shape == size
    assert all(0 < confidence < 1 for confidence in result.word_confidence)


def test_quality_on_held_out_scenes_is_what_was_reached():
    """The first 20 of the 500 scenes of `wordmask eval --dataset scenes`.

    Margins are two to three hundredths, five and more for what few objects decide.
    """
    report = evaluate(Segmenter("tiny", threads=1), range(FIRST_SEED, FIRST_SEED + 20), workers=2)
    bilinear, loftup, masks = (report.maps[name] for name in ("bilinear", "loftup", "masks"))
    assert loftup["miou"] > 0.9
    assert loftup["miou"] > bilinear["miou"] + 0.05
    assert loftup["miou_band"] > bilinear["miou_band"] + 0.16
    assert loftup["small_found"] > bilinear["small_found"] + 0.2
    assert loftup["miou_unseen"] > 0.84
    assert masks["miou"] > 0.935
    assert masks["miou_unseen"] > 0.89
    assert masks["small_found"] > 0.6
    assert report.maps["over"]["miou"] > loftup["miou"]
    assert report.seam < 1.45
    assert report.objects["off_word"] < 0.04
    assert report.objects["duplicates"] == 0
    assert report.objects["scattered"] < 0.03
    assert report.objects["found_50"] > 0.93
    assert report.click > 0.84
    assert report.prompts_saved > 0.98


def test_drawn_things_are_found_and_their_regions_as_masks_help_sam2():
    """The first 8 scenes of `wordmask eval --dataset things`; a click selects a part of a many-coloured thing."""
    seeds, world, segmenter = range(FIRST_SEED, FIRST_SEED + 8), WORLDS["things"], Segmenter("tiny", threads=1)
    report, clicks = (
        evaluate(segmenter, seeds, world=world, options=Options(mask_prompts=choice), workers=2)
        for choice in (None, False)
    )
    assert report.maps["loftup"]["miou"] > 0.75
    assert report.maps["masks"]["miou"] > max(0.75, clicks.maps["masks"]["miou"] + 0.05)
    assert report.objects["found_50"] > 0.9
    assert report.objects["off_word"] < 0.1
