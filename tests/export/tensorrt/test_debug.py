"""What `wordmask engines --debug` writes, and how engines are compared with ONNX Runtime."""

from __future__ import annotations

import argparse
import hashlib
import shlex
import shutil

import numpy as np
import pytest

from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.engines import FOLDER, Target, sidecars
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import EngineError

onnx = pytest.importorskip("onnx")
polygraphy_json = pytest.importorskip("polygraphy.json")
pytest.importorskip("fcntl")

import fake_tensorrt_builder as fake_tensorrt  # noqa: E402
from wordmask_export.tensorrt import compare as engines_compare  # noqa: E402
from wordmask_export.tensorrt.build import Choice, build_engines  # noqa: E402
from wordmask_export.tensorrt.compare import agreements, compare, show  # noqa: E402
from wordmask_export.tensorrt.debug import COMMANDS, write_debug  # noqa: E402
from wordmask_export.tensorrt.profiles import profiles  # noqa: E402

CHOICE = Choice(precision="fp16", max_batch=2, max_prompts=10)
GRAPHS = ("clip_image", "clip_text", "loftup", "sam2_encoder", "sam2_decoder")


@pytest.fixture(scope="module", autouse=True)
def _same():
    """Retyping has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wordmask_export.precision.policy.typed", lambda model, graph, precision: model)
        yield


@pytest.fixture(scope="module")
def written(small_bundle, tmp_path_factory):
    return write_debug(small_bundle, tmp_path_factory.mktemp("debug"), CHOICE).parent


def test_inputs_are_real_fit_their_profile_and_run(small_bundle, written):
    manifest = read_manifest(small_bundle)
    sizes = profiles(manifest, max_batch=2, max_prompts=10)
    for name in GRAPHS:
        entry = manifest.graphs[name]
        graph = OrtGraph(small_bundle / entry.file, entry, device="cpu")
        for number, profile in enumerate(sizes[name]):
            (inputs,) = polygraphy_json.load_json(str(written / name / f"inputs_{number}.json"))
            assert set(inputs) == {tensor.name for tensor in entry.inputs}
            for tensor in entry.inputs:
                assert inputs[tensor.name].dtype == tensor.dtype
                for size, symbol in zip(inputs[tensor.name].shape, tensor.shape, strict=True):
                    bounds = profile.get(symbol)
                    assert bounds.minimum <= size <= bounds.maximum if bounds else size == symbol
            assert all(np.isfinite(value).all() for value in graph.run(inputs).values())
    (windows,) = polygraphy_json.load_json(str(written / "clip_image" / "inputs_1.json"))
    assert windows["image"].std() > 30  # photos, neither blank
    assert (windows["image"][0] != windows["image"][1]).any()  # nor the same in every row


def test_rows_of_a_bucket_are_different_prompts(written):
    (inputs,) = polygraphy_json.load_json(str(written / "sam2_decoder" / "inputs_1.json"))
    assert len(np.unique(inputs["point_coords"], axis=0)) == 10


def test_a_line_reproduces_one_graph_and_bucket(written):
    lines = [line for line in (written / COMMANDS).read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 2 + 1 + 2 + 1 + 2
    words = shlex.split(lines[-1])
    assert words[:3] == ["polygraphy", "run", "sam2_decoder/typed.onnx"]
    assert {"--onnxrt", "--trt", "--strongly-typed"} <= set(words)
    assert words[words.index("--load-inputs") + 1] == "sam2_decoder/inputs_1.json"
    start = words.index("--trt-max-shapes") + 1
    assert words[start : start + 2] == ["point_coords:[10,16,2]", "point_labels:[10,16]"]
    for line in lines:
        assert (written / shlex.split(line)[2]).is_file()


def test_polygraphy_understands_every_line(written):
    """Polygraphy's own parser takes them and reads the shapes back."""
    pytest.importorskip("polygraphy.tools")
    from polygraphy.tools.run.run import Run

    for line in (written / COMMANDS).read_text().splitlines():
        if line.startswith("#"):
            continue
        tool = Run()
        parser = argparse.ArgumentParser()
        tool.setup_parser(parser.add_subparsers())
        args = parser.parse_args(shlex.split(line)[1:])
        tool.parse(args)
        assert args.strongly_typed


def test_bf16_is_compared_with_what_onnx_runtime_makes_of_the_bundles_graph(small_bundle, tmp_path):
    path = write_debug(small_bundle, tmp_path, Choice(precision="bf16", max_batch=1, max_prompts=8))
    first, then = (shlex.split(line) for line in path.read_text().splitlines() if " clip_text/" in line)
    assert first[2] == "clip_text/bundle.onnx"
    assert "--trt" not in first
    assert then[2] == "clip_text/typed.onnx"
    assert "--onnxrt" not in then
    assert then[then.index("--load-outputs") + 1] == first[first.index("--save-outputs") + 1]


# comparing


@pytest.fixture
def engines(small_bundle, tmp_path, monkeypatch):
    bundle = shutil.copytree(small_bundle, tmp_path / "bundle", ignore=shutil.ignore_patterns(FOLDER))
    fake_tensorrt.Fake().install(monkeypatch)
    build_engines(bundle, CHOICE, report=lambda text: None)
    return bundle


def runner_of(bundle, monkeypatch, change=lambda outputs: outputs):
    """Makes ONNX Runtime stand for the engine: which graph a plan is of is read from the sidecars."""
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx

    graphs = {sidecar.plan.sha256: sidecar.request.graph for _, sidecar in sidecars(bundle)}
    entries = read_manifest(bundle).graphs

    class Changed(OnnxrtRunner):
        def infer_impl(self, feed_dict):
            return change(super().infer_impl(feed_dict))

    def make(plan, profile):
        file = entries[graphs[hashlib.sha256(plan).hexdigest()]].file
        return Changed(SessionFromOnnx((bundle / file).read_bytes()), name="engine")

    return make


def test_the_same_arithmetic_agrees_in_every_output_and_bucket(engines, monkeypatch):
    found = compare(engines, CHOICE, make_runner=runner_of(engines, monkeypatch))
    assert {one.graph for one in found} == set(GRAPHS)
    assert [(one.profile, one.output) for one in found if one.graph == "sam2_decoder"] == [
        *((0, "masks"), (0, "iou")),
        *((1, "masks"), (1, "iou")),
    ]
    assert max(one.worst_row for one in found) < 1e-5
    assert show(found).splitlines()[1].split()[:3] == ["clip_image", "0", "features"]


def test_a_single_wrong_row_is_seen(engines, monkeypatch):
    def swap(outputs):
        return {name: np.concatenate([value[:-1], value[:1]]) for name, value in outputs.items()}

    found = compare(engines, CHOICE, make_runner=runner_of(engines, monkeypatch, swap))
    wrong = [one for one in found if one.graph == "sam2_decoder" and one.output == "masks"]
    assert min(one.worst_row for one in wrong) > 1e-3
    assert all(one.worst_row >= one.relative_error for one in wrong)


def test_an_engine_of_another_machine_is_not_compared(engines, monkeypatch):
    monkeypatch.setattr(engines_compare, "target_of", lambda gpu: (Target("11.4.0.106", "sm_120"), "x"))
    with pytest.raises(EngineError, match="no fp16 engine of clip_image for sm_120"):
        compare(engines, CHOICE, make_runner=runner_of(engines, monkeypatch))


@pytest.mark.parametrize("bad", [np.full((2, 3), np.nan), np.ones((2, 4))])
def test_values_that_are_not_finite_or_of_another_shape_are_errors(bad):
    with pytest.raises(EngineError, match="expected \\(2, 3\\), all finite"):
        list(agreements("loftup", 0, {"logits": (np.ones((2, 3)), bad)}))


def test_the_figures_of_an_agreement():
    expected = np.array([[3.0, 4.0], [0.0, 5.0]])
    found = expected + np.array([[0.0, 0.0], [0.0, 1.0]])
    (one,) = agreements("loftup", 1, {"logits": (expected, found)})
    assert one.relative_error == pytest.approx(1 / 50**0.5)
    assert one.worst_row == pytest.approx(0.2)
    assert one.largest == 1.0
