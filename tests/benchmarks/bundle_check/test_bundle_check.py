"""`wordmask check`: trained weights pass, random ones are called random, and a broken stage is named."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest
from wordmask.bundle.search import find_bundle
from wordmask.cli.main import main
from wordmask_bench.bundle_check import examples
from wordmask_bench.bundle_check.judgement import advice, judge
from wordmask_bench.bundle_check.measures import Covered, Figures, Upsampled, overlap, steepness

GOOD = Figures("photo", "cat", Covered(0.9, 0.0), Upsampled(0.95, 2.0), 0.9, Covered(0.9, 0.0), Covered(0.9, 0.0))


def checked(capsys, *arguments: str) -> tuple[int, dict]:
    status = main(["check", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def states(report: dict) -> dict[str, set[str]]:
    """The states of each stage's findings."""
    found: dict[str, set[str]] = {}
    for finding in report["findings"]:
        found.setdefault(finding["stage"], set()).add(finding["state"])
    return found


def altered(out: Path, graphs: tuple[str, ...], *, domain: str = "synthetic") -> Path:
    """A copy of tiny with the weights of some graphs in another order, another origin, and few windows a photo."""
    onnx = pytest.importorskip("onnx")
    shutil.copytree(find_bundle("tiny"), out)
    manifest, random = read_manifest(out), np.random.default_rng(0)
    entries = dict(manifest.graphs)
    for name in graphs:
        path = out / entries[name].file
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.size >= 1024 and values.dtype.kind == "f":
                shuffled = random.permutation(values.ravel()).reshape(values.shape)
                tensor.CopyFrom(onnx.numpy_helper.from_array(shuffled, tensor.name))
        onnx.save(model, path)
        content = path.read_bytes()
        entries[name] = dataclasses.replace(
            entries[name], sha256=hashlib.sha256(content).hexdigest(), size=len(content)
        )
    clip = dataclasses.replace(manifest.clip, stride=manifest.clip.window)
    changed = dataclasses.replace(manifest, graphs=entries, domain=domain, clip=clip).sealed()
    (out / FILE_NAME).write_text(changed.to_json(), encoding="utf-8")
    return out


def test_tiny_passes_on_its_scenes(capsys):
    status, report = checked(capsys, "tiny", "--strict")
    assert status == 0
    assert report["verdict"] == "ok"
    assert states(report) == {stage: {"ok"} for stage in ("CLIP", "LoftUp", "SAM2", "chain")}
    assert len(report["findings"]) == 4 * len(examples.SCENES)


def test_a_random_bundle_is_called_random_and_not_judged(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "PHOTOS", examples.PHOTOS[:1])
    random = str(altered(tmp_path / "random", ("clip_image", "loftup_cpu", "sam2_encoder"), domain="random"))
    assert main(["check", random, "--strict"]) == 1
    text = capsys.readouterr().out
    assert "the weights are random" in text
    assert '"cat" wins on' in text
    assert "warning" not in text


def test_a_loftup_with_the_wrong_weights_is_named(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(examples, "SCENES", examples.SCENES[1:2])
    broken = altered(tmp_path / "broken", ("loftup", "loftup_cpu"))
    assert main(["check", str(broken)]) == 0  # a warning is no error
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[1]: line.split()[0] for line in lines[:3]} == {"CLIP": "ok", "LoftUp": "warning", "SAM2": "ok"}
    assert any(line.startswith("LoftUp: it does not sharpen what CLIP sees") for line in lines)
    assert not any(line.startswith(("CLIP:", "SAM2:")) for line in lines)
    assert lines[-1] == "these weights do not behave as trained ones should"


def test_weights_that_cannot_name_what_photos_show_are_warned_of(capsys, monkeypatch, tmp_path):
    """As tiny's, which were trained on patterns, in a bundle that claims photos."""
    monkeypatch.setattr(examples, "PHOTOS", examples.PHOTOS[:1])
    status, report = checked(capsys, str(altered(tmp_path / "claims", (), domain="photos")))
    assert (status, report["verdict"]) == (0, "warning")
    assert "warning" in states(report)["CLIP"]
    assert [figures["word"] for figures in report["figures"]] == ["cat"]


@pytest.mark.parametrize(
    ("changed", "stage"),
    [
        ({"clip": Covered(0.49, 0.0)}, "CLIP"),
        ({"clip": Covered(0.9, 0.21)}, "CLIP"),
        ({"loftup": Upsampled(0.39, 2.0)}, "LoftUp"),
        ({"loftup": Upsampled(0.95, 1.2)}, "LoftUp"),
        ({"sam2_iou": 0.59}, "SAM2"),
        ({"sam2": Covered(0.4, 0.0)}, "SAM2"),
        ({"chain": Covered(0.0, 0.0)}, "chain"),
    ],
)
def test_a_figure_beyond_its_limit_is_a_warning_of_its_stage_alone(changed, stage):
    findings = list(judge([dataclasses.replace(GOOD, **changed)], random=False))
    assert [finding.stage for finding in findings if finding.state != "ok"] == [stage]
    assert [line.partition(":")[0] for line in advice(findings)] == [stage]


def test_a_bundle_without_loftup_is_judged_by_the_other_stages():
    findings = list(judge([dataclasses.replace(GOOD, loftup=None)], random=False))
    assert [(finding.stage, finding.state) for finding in findings] == [("CLIP", "ok"), ("SAM2", "ok"), ("chain", "ok")]


def test_nan_is_beyond_every_limit():
    findings = judge([dataclasses.replace(GOOD, sam2_iou=float("nan"))], random=False)
    assert [finding.stage for finding in findings if finding.state == "warning"] == ["SAM2"]


def test_the_drawn_regions_lie_in_their_photos_and_apart():
    for drawn, example in zip(examples.PHOTOS, examples.photos(), strict=True):
        height, width = example.photo.shape[:2]
        for x, y in (*drawn.inside, *(corner for polygon in drawn.outside for corner in polygon)):
            assert 0 <= x < width
            assert 0 <= y < height
        assert example.inside.sum() > 5000
        assert example.outside.sum() > 3000
        assert not (example.inside & example.outside).any()
        assert example.word in example.words
        assert not set(example.words) & set(example.background)


def test_the_overlap_of_masks_is_their_iou():
    first, second, none = np.arange(8) < 4, np.arange(8) >= 2, np.zeros(8, bool)
    assert overlap(first, second) == 2 / 8
    assert overlap(first, none) == 0
    assert overlap(none, none) == 1


def test_a_step_in_one_pixel_is_steeper_than_one_over_a_patch():
    columns = np.arange(64, dtype=np.float32)
    sharp, blurred = (np.tile(np.clip((columns - 32) / width, 0, 1), (64, 1)) for width in (1, 16))
    assert steepness(sharp) > 4 * steepness(blurred)
    assert steepness(np.ones((8, 8), np.float32)) == 0
    assert steepness(10 * sharp) == pytest.approx(steepness(sharp))  # whatever the scale of the similarities


def test_nothing_of_it_needs_torch():
    code = "import sys, wordmask_bench.bundle_check.measures\nprint({'torch', 'onnx', 'open_clip'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
