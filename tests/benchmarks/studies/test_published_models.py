"""The page of the published models: what is built of each, and what its rows become."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("torch")

from wordmask_bench.studies import published_models as study

ROW = study.Row(
    part="SAM2",
    model="sam2_hiera_tiny",
    seconds=700.0,
    processor_seconds=67.6,
    peak_gib=3.29,
    megabytes={"sam2_encoder": 134.1, "sam2_decoder": 20.4},
    parity={
        "sam2_encoder.relative_error": 8e-7,
        "sam2_decoder.relative_error": 9.6e-7,
        "sam2_decoder.mask_iou": 0.99999,
    },
)


def test_every_published_model_is_there_once():
    assert len(set(study.MODELS)) == len(study.MODELS) == 8 + 7 + len(study.CLIPS)


@pytest.mark.parametrize(("part", "model"), study.MODELS)
def test_the_options_are_those_of_build_and_name_the_model(tmp_path, part, model):
    from wordmask.cli.main import parse

    args = parse(["build", "out", *study.build_options(part, model, tmp_path / "clip.json"), "--weights", "random:0"])
    if part == "SAM2":
        assert (args.sam2, args.loftup) == (model, "none")
    elif part == "CLIP":
        assert (args.clip, args.loftup) == (model, "none")
    else:
        assert f"loftup_{args.backbone}" == model
        assert model != "loftup_clip" or json.loads((tmp_path / "clip.json").read_text())["embed_dim"] == 512


def test_a_row_becomes_a_line_of_the_page_and_a_refusal_is_told():
    refused = study.Row("CLIP", "ViT-H-14", 5, 5, 1, {}, {}, "wordmask build: ViT-H-14 is too large")
    text = "\n".join(study.page([ROW, refused]))
    assert "| SAM2 | sam2_hiera_tiny | 68 | 3.3 | 154 | 9.6e-07 | 1.0000 |" in text
    assert "- ViT-H-14: ViT-H-14 is too large" in text
    assert "**Random weights.**" in text


def test_what_has_a_row_is_not_built_again(tmp_path, monkeypatch):
    built = []

    def measure(part: str, model: str) -> study.Row:
        built.append(model)
        return study.Row(part, model, 1, 1, 1, {}, {"a.error": 0.0})

    monkeypatch.setattr(study, "measure", measure)
    monkeypatch.setattr(sys, "argv", ["study", str(tmp_path / "rows.jsonl"), "--only", "_hiera_tiny"])
    study.main()
    study.main()
    assert built == ["sam2_hiera_tiny", "sam2.1_hiera_tiny"]
    assert [row.model for row in study.read(tmp_path / "rows.jsonl")] == built
