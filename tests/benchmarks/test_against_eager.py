"""The two sides of the comparison with PyTorch do the same work."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

from wordmask_bench.against_eager import SIDES, make_parser, run_side


def test_both_sides_give_the_same_class_map_and_prompts(small_bundle, examples, data, tmp_path):
    models = ["--clip", str(data / "small_clip.json"), "--sam2", str(data / "small_sam2.yaml")]
    places = ["--bundle", str(small_bundle), "--photo", str(examples / "chelsea.jpg"), "--keep", str(tmp_path)]
    thresholds = ["--min-confidence", "0", "--min-region-size", "500"]
    for side in SIDES:
        run_side(
            make_parser().parse_args([*places, *models, *thresholds, "--vocabulary", "cat", "wall", "--side", side])
        )
    engine, eager = (np.load(tmp_path / f"{side}.npy") for side in SIDES)
    assert (engine == eager).mean() > 0.998
    figures = [json.loads((tmp_path / f"{side}.json").read_text()) for side in SIDES]
    assert all(figure["seconds"] > 0 and figure["peak_gib"] > 0.1 for figure in figures)
    assert abs(figures[0]["prompts"] - figures[1]["prompts"]) <= 1
