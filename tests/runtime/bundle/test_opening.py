"""Finding a bundle, and refusing one whose files are not those that were built."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from wordmask.backends.onnxruntime.graph import OrtGraph, execution_provider
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.opening import open_bundle
from wordmask.bundle.search import find_bundle
from wordmask.errors import BundleError, DeviceError, NumericError

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(TINY, tmp_path / "copy")


def test_names_are_looked_up_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORDMASK_MODELS", str(tmp_path / "own"))
    shutil.copytree(TINY, tmp_path / "models_cache" / "default")
    assert find_bundle() == find_bundle("default")
    assert find_bundle("default").resolve() == tmp_path / "models_cache" / "default"
    shutil.copytree(TINY, tmp_path / "own" / "default")
    assert find_bundle("default") == tmp_path / "own" / "default"
    assert find_bundle(TINY) == TINY


def test_an_unknown_name_lists_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("WORDMASK_MODELS", str(tmp_path / "own"))
    with pytest.raises(BundleError, match="no bundle named 'nope'") as caught:
        find_bundle("nope")
    assert str(tmp_path / "own") in str(caught.value)
    assert "wordmask build models_cache/nope" in str(caught.value)


def test_a_path_that_is_no_bundle_is_said_so(tmp_path):
    with pytest.raises(BundleError, match=r"holds no manifest\.json"):
        find_bundle(tmp_path)


def test_a_folder_of_that_name_without_a_manifest_is_said_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match=r"the folder mine here is not a bundle: it holds no manifest\.json"):
        find_bundle("mine")


def damage_missing(path):
    path.unlink()


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_empty(path):
    path.write_bytes(b"")


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:100])


def damage_lfs(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")


def damage_html(path):
    path.write_bytes(b"<!DOCTYPE html><title>404</title>")


@pytest.mark.parametrize(("damage", "message"), [(damage_lfs, "Git LFS pointer"), (damage_html, "web page")])
def test_a_manifest_that_was_not_downloaded_is_said_so(copy, damage, message):
    damage(copy / "manifest.json")
    with pytest.raises(BundleError, match=rf"manifest\.json: not valid JSON.*{message}.*copy the bundle again"):
        open_bundle(copy)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, "cannot be read"),
        (damage_flip, "sha256 is not the manifest's"),
        (damage_empty, "0 bytes, the manifest says"),
        (damage_cut, "100 bytes, the manifest says"),
        (damage_lfs, "Git LFS pointer"),
        (damage_html, "web page"),
    ],
)
def test_a_damaged_file_is_named_before_anything_is_loaded(copy, damage, message):
    damage(copy / "loftup.onnx")
    with pytest.raises(BundleError, match=rf"loftup\.onnx.*{message}"):
        open_bundle(copy)


def test_a_graph_of_another_build_is_refused_at_load(copy):
    """The hash may be right and the interface still not what the manifest promises."""
    manifest = read_manifest(copy)
    with pytest.raises(BundleError, match="mixes two builds"):
        OrtGraph(copy / "clip_text.onnx", manifest.graphs["clip_image"], device="cpu")


def test_a_graph_from_another_build_is_not_the_manifests(copy):
    """Graphs of two builds mixed in one folder, both of them whole."""
    shutil.copy(copy / "loftup_features.onnx", copy / "loftup.onnx")
    with pytest.raises(BundleError, match=r"loftup\.onnx.*the manifest"):
        open_bundle(copy)


def test_the_manifest_of_another_build_is_refused(copy):
    manifest = read_manifest(copy)
    entry = dataclasses.replace(manifest.graphs["clip_text"], sha256="0" * 64)
    other = dataclasses.replace(manifest, graphs={**manifest.graphs, "clip_text": entry}).sealed()
    (copy / "manifest.json").write_text(other.to_json())
    with pytest.raises(BundleError, match=r"clip_text\.onnx: its sha256 is not the manifest's"):
        open_bundle(copy)


def test_files_may_be_hard_links_as_package_installers_make_them(tmp_path):
    shutil.copytree(TINY, tmp_path / "linked", copy_function=lambda source, target: Path(target).hardlink_to(source))
    assert open_bundle(tmp_path / "linked").manifest == read_manifest(TINY)


def test_the_folder_of_a_bundle_may_be_a_link(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("models_cache").mkdir()
    Path("models_cache/default").symlink_to(TINY)
    assert open_bundle().manifest == read_manifest(TINY)


@pytest.mark.parametrize(("opset", "ir"), [(99, 10), (20, 99)], ids=["opset", "ir"])
def test_a_graph_newer_than_onnx_runtime_says_upgrade(tmp_path, opset, ir):
    onnx = pytest.importorskip("onnx")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N"]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Log", ["x"], ["y"])], "log", values[:1], values[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=ir)
    (tmp_path / "log.onnx").write_bytes(model.SerializeToString())
    tensors = [(Tensor(name, "float32", ("N",)),) for name in "xy"]
    with pytest.raises(
        BundleError, match=r"too old for the graph: upgrade onnxruntime \((Unsupported|ONNX Runtime only)"
    ):
        OrtGraph(tmp_path / "log.onnx", GraphEntry("log.onnx", "", 0, *tensors), device="cpu")


def test_a_file_that_is_no_graph_is_refused_by_name(copy):
    manifest = read_manifest(copy)
    (copy / "loftup.onnx").write_bytes(b"not a graph")
    with pytest.raises(BundleError, match=r"loftup\.onnx: ONNX Runtime cannot load it"):
        OrtGraph(copy / "loftup.onnx", manifest.graphs["loftup"], device="cpu")


class FakeRuntime:
    @staticmethod
    def get_available_providers():
        return ["CPUExecutionProvider"]


def test_a_missing_execution_provider_is_an_error_not_a_fallback():
    with pytest.raises(DeviceError, match="only CPUExecutionProvider"):
        execution_provider(FakeRuntime, "cuda")
    with pytest.raises(
        DeviceError, match="expected auto, cpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx"
    ):
        execution_provider(FakeRuntime, "gpu")
    assert execution_provider(FakeRuntime, "cpu") == ("CPUExecutionProvider", {})


def test_the_cuda_device_number_reaches_the_provider():
    class WithCuda:
        @staticmethod
        def get_available_providers():
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    assert execution_provider(WithCuda, "cuda:2") == ("CUDAExecutionProvider", {"device_id": "2"})


def test_not_a_number_in_an_output_is_an_error(tmp_path):
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Log", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N"]) for name in "xy"]
    opset = onnx.helper.make_opsetid("", 20)
    graph = onnx.helper.make_graph([node], "log", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10), tmp_path / "log.onnx")
    tensors = [(Tensor(name, "float32", ("N",)),) for name in "xy"]
    loaded = OrtGraph(tmp_path / "log.onnx", GraphEntry("log.onnx", "", 0, *tensors), device="cpu")
    import numpy as np

    assert loaded.run({"x": np.ones(2, np.float32)})["y"].tolist() == [0, 0]
    with pytest.raises(NumericError, match="'y' holds NaN or infinity"):
        loaded.run({"x": np.array([-1.0, 1.0], np.float32)})


def test_an_edited_manifest_is_refused(copy):
    document = json.loads((copy / "manifest.json").read_text())
    document["clip"]["logit_scale"] = 99.0
    (copy / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(BundleError, match="bundle_id does not fit"):
        open_bundle(copy)
