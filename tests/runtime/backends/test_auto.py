"""`--device auto`: which device it takes, what it says of faster ones, and that a run records the one it took."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fake_cuda import FakeCuda
from fake_tensorrt_runtime import FakeTensorRT
from wordmask.backends import auto
from wordmask.backends.auto import ChosenDevice, choose_device
from wordmask.backends.openvino import has_bf16
from wordmask.bundle.engines import FOLDER, PLAN, SIDECAR
from wordmask.bundle.opening import Bundle, open_bundle
from wordmask.cli.main import main
from wordmask.errors import DeviceError
from wordmask.loading import STAGES
from wordmask.pipeline import Segmenter
from wordmask_export.tensorrt.profiles import profiles

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bundle(tmp_path):
    """The shipped bundle's manifest in a folder for engines."""
    return Bundle(tmp_path, open_bundle("tiny").manifest)


@pytest.fixture
def trt(monkeypatch):
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    fake = FakeTensorRT(cuda)
    fake.install(monkeypatch)
    return fake


def add_engines(trt, bundle, names=STAGES):
    for name, ranges in profiles(bundle.manifest, max_batch=1, max_prompts=8).items():
        if name in names:
            plan, sidecar = trt.add(name, bundle.manifest.graphs[name], ranges, lambda inputs: inputs)
            place = bundle.folder / FOLDER / sidecar.request.key
            place.mkdir(parents=True)
            (place / PLAN).write_bytes(plan)
            (place / SIDECAR).write_text(sidecar.to_json())


def with_cuda(monkeypatch):
    monkeypatch.setattr(auto, "load_graph", lambda bundle, name, device: None)


def test_engines_come_first(trt, bundle, monkeypatch):
    add_engines(trt, bundle)
    with_cuda(monkeypatch)
    assert choose_device(bundle, STAGES) == ChosenDevice("tensorrt:0")


def test_cuda_comes_where_an_engine_is_missing(trt, bundle, monkeypatch):
    add_engines(trt, bundle, [name for name in STAGES if name != "loftup"])
    with_cuda(monkeypatch)
    chosen = choose_device(bundle, STAGES)
    assert chosen.name == "cuda:0"
    ((device, reason),) = chosen.faster
    assert device == "tensorrt:0"
    assert "no fp16 engine of loftup" in reason


def test_engines_of_another_precision_are_not_taken(trt, bundle, monkeypatch):
    add_engines(trt, bundle)
    with_cuda(monkeypatch)
    assert choose_device(bundle, STAGES, "bf16").name == "cuda:0"


@pytest.mark.parametrize(("units", "name"), [(True, "openvino:bf16"), (False, "openvino")])
def test_without_a_gpu_openvino_comes_in_bf16_where_the_processor_has_it(bundle, monkeypatch, units, name):
    core = SimpleNamespace(get_property=lambda *names: ["FP32", "BF16"] if units else ["FP32"])
    monkeypatch.setattr("wordmask.backends.openvino.import_openvino", lambda: SimpleNamespace(Core=lambda: core))
    chosen = choose_device(bundle, STAGES)
    assert chosen.name == name
    assert [device for device, _ in chosen.faster] == ["tensorrt:0", "cuda:0"]


def test_the_cpu_is_left_where_nothing_else_is_installed(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    chosen = choose_device(bundle, STAGES)
    assert chosen.name == "cpu"
    assert [device for device, _ in chosen.faster] == ["tensorrt:0", "cuda:0", "openvino"]
    for (_, reason), extra in zip(chosen.faster, ("trt", "gpu", "openvino"), strict=True):
        assert f"pip install '.[{extra}]'" in reason


def test_cuda_that_does_not_start_is_passed_over_with_its_reason(bundle, monkeypatch):
    def fail(bundle, name, device):
        raise DeviceError(f"{name} on {device}: the driver is too old")

    monkeypatch.setattr(auto, "load_graph", fail)
    graphs = bundle.manifest.graphs
    smallest = min(STAGES, key=lambda name: graphs[name].size)
    assert ("cuda:0", f"{smallest} on cuda:0: the driver is too old") in choose_device(bundle, STAGES).faster


def test_a_segmenter_takes_it_and_gives_the_result_of_that_device(fast_tiny, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "openvino", None)
    caplog.set_level(logging.INFO)
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    found = [Segmenter(fast_tiny, device=device)(photo, ["stone", "cloth"]) for device in ("auto", "cpu")]
    np.testing.assert_array_equal(found[0].semantic, found[1].semantic)
    np.testing.assert_array_equal(found[0].confidence, found[1].confidence)
    assert caplog.text.count("device auto is cpu") == 1


def test_auto_stands_for_all_graphs_alone():
    with pytest.raises(DeviceError, match="name one"):
        Segmenter("tiny", upsampler_device="auto")


def test_a_run_says_what_it_took_and_records_it_so_that_it_can_be_continued(fast_tiny, tmp_path, capsys, monkeypatch):
    scene = next((ROOT / "examples" / "scenes").glob("*.png"))
    words = ["run", str(scene), "--vocabulary", "stone", "--bundle", str(fast_tiny), "--output", str(tmp_path / "out")]
    assert main([*words, "--device", "auto"]) == 0
    name = "openvino:bf16" if has_bf16() else "openvino"
    assert capsys.readouterr().err.count(f"--device auto: {name}") == 1
    assert json.loads((tmp_path / "out" / "run.json").read_text())["settings"]["device"] == name
    assert main([*words, "--device", name]) == 0
    assert main([*words, "--device", "auto"]) == 0
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert main([*words, "--device", "auto"]) == 2  # another device, other results
    assert f'device was "{name}" and is now "cpu"' in capsys.readouterr().err


def test_auto_on_a_cluster_is_refused(tmp_path, capsys):
    words = ["run", "photo.jpg", "--vocabulary", "cat", "--output", str(tmp_path), "--ray", "--device", "auto"]
    assert main(words) == 2
    assert "name the device of the cluster's workers" in capsys.readouterr().err
