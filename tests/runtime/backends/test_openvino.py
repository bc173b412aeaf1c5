"""OpenVINO behind the same Protocol: the same numbers in fp32, near ones in bf16."""

from __future__ import annotations

import builtins
import dataclasses

import numpy as np
import pytest

from wordmask import Options, Segmenter
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.backends.openvino import OpenVinoGraph, import_openvino
from wordmask.bundle.opening import open_bundle
from wordmask.bundle.search import find_bundle
from wordmask.errors import BundleError, DeviceError, MissingExtraError, NumericError
from wordmask.photo.reading import decode

pytest.importorskip("openvino")

WORDS = ["red striped", "blue", "green dotted", "grass"]


@pytest.fixture(scope="module")
def bundle():
    return open_bundle(find_bundle("tiny"))


def clip(bundle, precision="fp32"):
    entry = bundle.manifest.graphs["clip_image"]
    return OpenVinoGraph(bundle.path(entry), entry, precision=precision, threads=1)


def has_bf16():
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def windows(count=2, side=128):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_fp32_gives_what_onnx_runtime_gives(bundle):
    entry = bundle.manifest.graphs["clip_image"]
    expected = OrtGraph(bundle.path(entry), entry, device="cpu").run({"image": windows()})["features"]
    found = clip(bundle).run({"image": windows()}, keep=("features",))["features"]
    assert error(found, expected) < 1e-5


@pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16 units")
def test_bf16_is_near(bundle):
    full = clip(bundle).run({"image": windows()})["features"]
    half = clip(bundle, "bf16").run({"image": windows()})["features"]
    assert 1e-4 < error(half, full) < 2e-2  # bf16 has 8 bits


def test_a_processor_without_bf16_is_told(bundle, monkeypatch):
    class Core:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(import_openvino(), "Core", Core)
    with pytest.raises(DeviceError, match="no bfloat16 units: use --device openvino"):
        clip(bundle, "bf16")


def test_results_are_the_callers_own(bundle):
    graph = clip(bundle)
    first = graph.run({"image": windows()})["features"]
    before = first.copy()
    graph.run({"image": windows()[::-1]})
    np.testing.assert_array_equal(first, before)


def test_runs_after_a_cancel_end_with_an_error(bundle):
    graph = clip(bundle)
    graph.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        graph.run({"image": windows()})


def test_outputs_that_are_no_numbers_are_an_error(bundle):
    entry = bundle.manifest.graphs["loftup_cpu"]
    graph = OpenVinoGraph(bundle.path(entry), entry, precision="fp32", threads=1)
    sizes = {"B": 1, "h": 1, "w": 1, "h*w": 1, "H+4": 8, "W+4": 8, "C": 1}
    inputs = {t.name: np.full([sizes.get(n, n) for n in t.shape], 0, t.dtype) for t in entry.inputs}
    inputs["text"][:] = np.nan
    with pytest.raises(NumericError, match="'logits' holds NaN"):
        graph.run(inputs)


def test_a_damaged_graph_and_a_foreign_one_are_refused(bundle, tmp_path):
    entry = bundle.manifest.graphs["clip_image"]
    damaged = tmp_path / "clip_image.onnx"
    damaged.write_bytes(bundle.path(entry).read_bytes()[:1000])
    with pytest.raises(BundleError, match="OpenVINO cannot load it: build the bundle again"):
        OpenVinoGraph(damaged, entry, precision="fp32")
    other = dataclasses.replace(entry, outputs=(dataclasses.replace(entry.outputs[0], name="masks"),))
    with pytest.raises(BundleError, match="found features, expected masks"):
        OpenVinoGraph(bundle.path(entry), other, precision="fp32", threads=1)


def test_openvino_not_installed_is_told(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "openvino":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"\[openvino\]"):
        import_openvino()


def test_the_chain_gives_the_same_masks(examples, fast_tiny):
    photo = decode(examples.parent / "scenes" / "01.png")[:160, :320]
    one, other = (
        Segmenter(fast_tiny, device=device)(photo, WORDS, background=(), options=Options(min_confidence=0.3))
        for device in ("cpu", "openvino")
    )
    assert (one.dense == other.dense).mean() > 0.9999
    assert (one.semantic == other.semantic).mean() > 0.9999
    assert len(one.instances) == len(other.instances) > 0
