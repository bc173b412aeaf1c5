"""A build: what it writes, what it refuses, and that a wrong graph does not pass."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402

from wordmask.bundle.manifest_reading import read_manifest  # noqa: E402
from wordmask.bundle.opening import open_bundle  # noqa: E402
from wordmask_export import build as build_module  # noqa: E402
from wordmask_export.build import BuildError, TargetError, build  # noqa: E402
from wordmask_export.graphs import onnx_export  # noqa: E402
from wordmask_export.graphs.specs import parameters  # noqa: E402
from wordmask_export.parity.pipeline import Figure, Parity, worst_iou  # noqa: E402
from wordmask_export.progress import EXPORT, Progress  # noqa: E402
from wordmask_export.unfinished import unfinished  # noqa: E402


def quiet(text: str) -> None:
    pass


def test_the_manifest_tells_all(small_bundle, small_models):
    manifest = open_bundle(small_bundle).manifest
    assert set(manifest.graphs) == {
        "clip_image", "clip_text", "loftup", "loftup_cpu", "loftup_features", "sam2_encoder", "sam2_decoder",
    }  # fmt: skip
    assert (manifest.domain, manifest.precision) == ("random", "fp32")
    assert (manifest.clip.dim, manifest.clip.patch, manifest.clip.window) == (48, 16, 64)
    assert (manifest.sam2.image_size, manifest.sam2.mask_size) == (256, 64)
    assert len(manifest.clip.templates) == 80
    assert manifest.models["clip"].source == "random:0"
    assert np.isclose(manifest.loftup.frequencies[-1], np.exp(10))
    assert {"torch", "onnx", "onnxruntime"} <= set(manifest.tools)


def test_parity_is_measured_for_every_graph_and_kept(small_bundle):
    manifest = read_manifest(small_bundle)
    assert {name.partition(".")[0] for name in manifest.parity} == set(manifest.graphs)
    errors = {name: value for name, value in manifest.parity.items() if name.endswith("error")}
    assert max(errors.values()) < 1e-4
    assert manifest.parity["sam2_decoder.mask_iou"] >= 0.999


def test_every_batch_and_prompt_dimension_is_dynamic(small_bundle):
    graphs = read_manifest(small_bundle).graphs
    for name in ("clip_image", "loftup", "loftup_cpu", "loftup_features", "sam2_encoder"):
        assert graphs[name].inputs[0].shape[0] == "B"
    shapes = {tensor.name: tensor.shape for tensor in graphs["sam2_decoder"].inputs}
    assert shapes["point_coords"] == ("N", "P", 2)
    assert graphs["clip_text"].inputs[0].shape == ("T", "L")


def test_with_mask_prompts_a_bundle_has_a_decoder_for_them(mask_prompt_bundle, small_models, small_protocol):
    manifest = read_manifest(mask_prompt_bundle)
    shapes = {tensor.name: tensor.shape for tensor in manifest.graphs["sam2_mask_decoder"].inputs}
    assert shapes["mask_prompts"] == ("N", 1, 64, 64)
    figures = list(Parity(mask_prompt_bundle, manifest, small_models, small_protocol).figures("sam2_mask_decoder"))
    assert {figure.name.partition(".")[2] for figure in figures} == {"relative_error", "mask_iou", "batch_error"}
    assert [figure for figure in figures if not figure.ok] == []
    protocol = dataclasses.replace(small_protocol, mask_prompts=True)
    assert list(parameters(small_models, protocol)) == list(manifest.graphs)


def test_graphs_hold_no_trace_of_the_machine(small_bundle):
    for path in small_bundle.glob("*.onnx"):
        content = path.read_bytes()
        for trace in (b"/home/", b"/tmp/", b"site-packages", b".py", str(small_bundle.parent).encode()):
            assert trace not in content, f"{path.name} holds {trace!r}"
        assert not onnx.load(path, load_external_data=False).graph.node[0].metadata_props


def test_the_same_weights_give_the_same_bundle_id_whatever_the_tools(small_bundle):
    manifest = read_manifest(small_bundle)
    other = dataclasses.replace(manifest, tools={"torch": "9"}, parity={}).sealed()
    assert other.bundle_id == manifest.bundle_id
    moved = dataclasses.replace(manifest, clip=dataclasses.replace(manifest.clip, logit_scale=50.0)).sealed()
    assert moved.bundle_id != manifest.bundle_id


def test_an_existing_bundle_is_kept_without_force(small_bundle, small_choice, small_protocol):
    before = (small_bundle / "manifest.json").read_bytes()
    with pytest.raises(TargetError, match="--force"):
        build(small_bundle, small_choice, small_protocol, report=quiet)
    assert (small_bundle / "manifest.json").read_bytes() == before


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path, small_choice, small_protocol):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(TargetError, match="no bundle"):
        build(tmp_path, small_choice, small_protocol, force=True, report=quiet)
    assert (tmp_path / "thesis.tex").exists()


def fast_build(monkeypatch, small_bundle, tmp_path, figures):
    """A build whose graphs are copied from the small bundle, with the given parity figures."""
    manifest = read_manifest(small_bundle)

    def copy(spec, work):
        (work / f"{spec.name}.onnx").write_bytes((small_bundle / f"{spec.name}.onnx").read_bytes())
        return manifest.graphs[spec.name]

    monkeypatch.setattr(build_module, "export", copy)
    monkeypatch.setattr(Parity, "figures", figures)
    return tmp_path / "out"


def test_a_graph_that_misses_its_tolerance_leaves_no_bundle(
    monkeypatch, small_bundle, small_choice, small_protocol, tmp_path
):
    out = fast_build(monkeypatch, small_bundle, tmp_path, lambda self, name: [Figure(f"{name}.error", 1.0, 0.5)])
    with pytest.raises(BuildError, match=r"clip_image\.error is 1, the limit is 0\.5"):
        build(out, small_choice, small_protocol, report=quiet)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_build_leaves_the_old_bundle_whole(
    monkeypatch, small_bundle, small_choice, small_protocol, tmp_path
):
    def fine(self, name):
        return [Figure(f"{name}.error", 0.0, 0.5)]

    out = fast_build(monkeypatch, small_bundle, tmp_path, fine)
    build(out, small_choice, small_protocol, report=quiet)
    before = (out / "manifest.json").read_bytes()

    def interrupt(self, name):
        raise KeyboardInterrupt

    monkeypatch.setattr(Parity, "figures", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(out, small_choice, small_protocol, force=True, report=quiet)
    assert (out / "manifest.json").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.unfinished"}
    open_bundle(out)


class InterruptionError(Exception):
    """Stands for whatever ends a build."""


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def interrupted(monkeypatch, small_bundle, small_choice, small_protocol, tmp_path):
    """The folder of a build that ended in its third graph; a call that goes on, with graphs exported and messages."""

    def fine(self, name):
        return [Figure(f"{name}.error", len(name) / 7, 5.0)]

    out = fast_build(monkeypatch, small_bundle, tmp_path, fine)
    copy, exported = build_module.export, []

    def counted(spec, work):
        if spec.name == "loftup" and not exported[2:]:
            (work / "loftup.onnx").write_bytes(b"half of it")
            exported.append("cut off")
            raise InterruptionError
        exported.append(spec.name)
        return copy(spec, work)

    monkeypatch.setattr(build_module, "export", counted)
    with pytest.raises(InterruptionError):
        build(out, small_choice, small_protocol, report=quiet)

    def go_on(choice=small_choice, protocol=small_protocol, **settings):
        exported[:], messages = ["", "", ""], []
        build(out, choice, protocol, report=messages.append, **settings)
        return exported[3:], messages

    return out, go_on


def test_an_interrupted_build_goes_on_with_the_graphs_that_are_done_and_gives_the_same_bundle(
    interrupted, small_choice, small_protocol
):
    out, go_on = interrupted
    assert not out.exists()
    exported, messages = go_on()
    assert exported == ["loftup", "loftup_cpu", "loftup_features", "sam2_encoder", "sam2_decoder"]
    assert "an earlier start of this build finished clip_image, clip_text: going on with that" in messages
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    found = contents(out)
    build(out, small_choice, small_protocol, force=True, report=quiet)
    assert contents(out) == found
    open_bundle(out)


def test_graphs_that_are_compared_are_not_compared_again(monkeypatch, interrupted):
    out, go_on = interrupted
    fine, compared = Parity.figures, []

    def measure(self, name):
        if name == "loftup" and "loftup" not in compared:
            compared.append(name)
            raise InterruptionError
        compared.append(name)
        return fine(self, name)

    monkeypatch.setattr(Parity, "figures", measure)
    with pytest.raises(InterruptionError):
        go_on()
    exported, messages = go_on()
    assert exported == []
    assert compared[:4] == ["clip_image", "clip_text", "loftup", "loftup"]
    assert compared.count("clip_image") == 1
    steps = [message for message in messages if message.startswith("[")]
    assert steps[0].startswith("[10/14] loftup: comparing with PyTorch (")
    assert len(steps) == 5
    assert len(read_manifest(out).parity) == 7


def test_of_another_build_nothing_is_taken(interrupted, small_protocol):
    _, go_on = interrupted
    exported, _ = go_on(protocol=dataclasses.replace(small_protocol, stride=16))
    assert len(exported) == 7


def test_a_graph_that_was_changed_meanwhile_is_exported_again(interrupted):
    out, go_on = interrupted
    (out.with_name("out.unfinished") / "clip_text.onnx").write_bytes(b"changed")
    exported, _ = go_on()
    assert exported[0] == "clip_text"
    assert "clip_image" not in exported


def test_a_folder_that_only_has_the_name_of_an_unfinished_build_is_kept(tmp_path, small_choice, small_protocol):
    (tmp_path / "out.unfinished").mkdir()
    (tmp_path / "out.unfinished" / "thesis.tex").write_text("years of work")
    with pytest.raises(TargetError, match=r"out\.unfinished is not an unfinished build"):
        build(tmp_path / "out", small_choice, small_protocol, report=quiet)
    assert (tmp_path / "out.unfinished" / "thesis.tex").exists()


def test_a_second_build_into_the_same_folder_is_refused(tmp_path, small_choice, small_protocol):
    with unfinished(tmp_path / "out"), pytest.raises(TargetError, match=r"process \d+ on .* is building it"):
        build(tmp_path / "out", small_choice, small_protocol, report=quiet)


def test_the_time_that_is_left_follows_what_the_steps_took(monkeypatch):
    clock, messages = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    progress = Progress({"clip_image": 86_000_000, "sam2_encoder": 212_000_000}, messages.append)
    expected = progress.left()
    assert expected > 90
    with progress.step(EXPORT, "clip_image"):
        clock[0] = 1000.0
    assert messages == [f"[ 1/4] clip_image: exporting (about {expected / 60:.0f} min left)"]
    assert progress.left() > 10 * expected


def test_parity_notices_wrong_weights(small_bundle, small_protocol, tmp_path, small_models):
    """The comparison itself must be able to fail: one weight of LoftUp's graph is changed."""
    manifest = read_manifest(small_bundle)
    for path in small_bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    model = onnx.load(tmp_path / "loftup.onnx")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "stem.conv2.weight")
    changed = onnx.numpy_helper.to_array(weight) * np.float32(1.05)
    weight.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
    onnx.save(model, tmp_path / "loftup.onnx")
    figures = {f.name: f for f in Parity(tmp_path, manifest, small_models, small_protocol).figures("loftup")}
    assert not figures["loftup.relative_error"].ok


def test_parity_notices_a_misread_activation(small_bundle, small_protocol, small_models):
    """Graph and module would agree with each other; only open_clip's own tower tells."""
    misread = dataclasses.replace(small_models, quick_gelu=False)
    manifest = read_manifest(small_bundle)
    figures = {f.name: f for f in Parity(small_bundle, manifest, misread, small_protocol).figures("clip_image")}
    assert not figures["clip_image.open_clip_error"].ok


def test_a_figure_that_is_not_a_number_fails():
    assert not Figure("x", float("nan"), 1.0).ok
    assert not Figure("x", float("nan"), 0.5, at_least=True).ok


def test_worst_iou_counts_two_empty_masks_as_equal():
    masks = np.zeros((2, 4, 4)) - 1
    masks[1, 0, :2] = 1
    other = masks.copy()
    other[1, 0, 1] = -1
    assert worst_iou(masks[:1], masks[:1]) == 1
    assert worst_iou(masks, other) == 0.5


def test_an_exporter_that_fixes_a_dynamic_dimension_is_caught():
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])
    with pytest.raises(ValueError, match="B was fixed at 2"):
        onnx_export.name_dimensions([value], [onnx_export.Tensor("x", "float32", ("B", 3))])


def test_half_precision_keeps_the_chain_close(
    monkeypatch, small_choice, small_models, small_protocol, small_bundle, tmp_path
):
    """The small bundle's graphs, converted by a build that skips tracing and measures three of them."""
    measured = {"clip_image", "loftup", "sam2_decoder"}
    measure = Parity.figures
    out = fast_build(
        monkeypatch, small_bundle, tmp_path, lambda self, name: measure(self, name) if name in measured else []
    )
    manifest = build(out, small_choice, small_protocol, precision="fp16", report=quiet)
    assert manifest.precision == "fp16"
    before = read_manifest(small_bundle).graphs
    for name, entry in manifest.graphs.items():
        assert entry.inputs == before[name].inputs
        assert entry.size < 0.75 * before[name].size
    open_bundle(out)
    assert manifest.parity["clip_image.relative_error"] < 5e-3
    assert manifest.parity["loftup.relative_error"] < 5e-3
    assert manifest.parity["sam2_decoder.relative_error"] < 2e-2
    assert manifest.parity["loftup.class_map_agreement"] > 0.99


def test_options_reach_the_manifest(small_bundle):
    raw = json.loads((small_bundle / "manifest.json").read_text())
    assert (raw["clip"]["stride"], raw["clip"]["short_side"], raw["clip"]["long_side"]) == (32, 96, 256)
