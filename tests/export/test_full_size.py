"""The full-size path: ViT-B/16, LoftUp for CLIP and SAM2.1 tiny, downloaded, built and run on a real photo.

A short side of 224 makes one window of a square photo, so that the test stays short.
"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from wordmask.bundle.manifest_reading import read_manifest
from wordmask.cli.main import main

pytestmark = pytest.mark.full_size


def test_every_figure_is_far_inside_its_tolerance(full_bundle):
    manifest = read_manifest(full_bundle)
    errors = {name: value for name, value in manifest.parity.items() if name.endswith("error")}
    assert len(errors) == 14
    assert max(errors.values()) < 2e-5
    assert manifest.clip.dim == 512
    assert manifest.graphs["sam2_encoder"].outputs[0].shape == ("B", 256, 64, 64)


def test_weights_of_the_hub_are_recorded_with_their_commit_and_checksum(full_bundle):
    models = read_manifest(full_bundle).models
    assert {name: model.source for name, model in models.items()} == {
        "clip": "huggingface.co/timm/vit_base_patch16_clip_224.openai/open_clip_model.safetensors",
        "loftup": "huggingface.co/haiwen/loftup-clip/pytorch_model.bin",
        "sam2": "huggingface.co/facebook/sam2.1-hiera-tiny/sam2.1_hiera_tiny.pt",
    }
    assert all(re.fullmatch(r"[0-9a-f]{40}", model.revision) for model in models.values())
    assert all(re.fullmatch(r"[0-9a-f]{64}", model.weights_sha256) for model in models.values())


def test_a_photo_is_segmented(full_bundle, examples, tmp_path):
    photo = tmp_path / "cat.png"
    Image.open(examples / "chelsea.jpg").crop((75, 0, 375, 300)).save(photo)
    out = tmp_path / "out"
    places = ["--bundle", str(full_bundle), "--output", str(out)]
    assert main(["run", str(photo), "--vocabulary", "cat", *places, "--background", "none", "--overlay"]) == 0
    row = json.loads((out / "journal.jsonl").read_text())
    assert row["word_confidence"] == {"cat": 1.0}
    assert row["prompts"] == 1
    assert np.asarray(Image.open(out / "semantic" / "cat.png")).shape == (300, 300)


def test_tensorrt_compiles_every_graph(trt_standin, full_bundle):
    """In fp16, whose types are changed most; tests/export/tensorrt/test_compiler.py compiles fp32 and bf16, smaller."""
    graphs = ["clip_image", "clip_text", "loftup", "sam2_encoder", "sam2_decoder"]
    found = trt_standin.compile(full_bundle, "fp16", graphs, max_batch=1, max_prompts=8)
    assert list(found) == graphs
    for name, facts in found.items():
        assert facts["plan"] > 10_000
        products = dict(facts["products"])
        if name == "sam2_decoder":
            assert products.pop("FLOAT") == 1  # the change of coordinates before the sines
        assert set(products) == {"HALF"}
