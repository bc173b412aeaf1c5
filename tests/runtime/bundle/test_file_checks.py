"""A bundle's files reach nowhere beyond its folder and hold no code, whoever made the bundle and its hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from wordmask.bundle.file_checks import check_file, find_danger
from wordmask.bundle.manifest import File, GraphEntry
from wordmask.errors import BundleError

WEIGHTS = np.arange(4, dtype=np.float32)


def entry(path: Path, kind: type[File] = GraphEntry) -> File:
    """What a manifest that was made for this very file says of it."""
    content = path.read_bytes()
    interface = ((), ()) if kind is GraphEntry else ()
    return kind(path.name, hashlib.sha256(content).hexdigest(), len(content), *interface)


def graph_with_weights_at(folder: Path, location: str, place: str = "initializer") -> Path:
    """y = x + w, where w stands in another file."""
    onnx = pytest.importorskip("onnx")
    weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4])
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    nodes, initializers = [onnx.helper.make_node("Add", ["x", "w"], ["y"])], [weights]
    if place == "attribute":
        constant = onnx.helper.make_node("Constant", [], ["w"])
        constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=weights)
        nodes, initializers = [constant, *nodes], []
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
    graph = onnx.helper.make_graph(nodes, "g", values[:1], values[1:], initializers)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    folder.mkdir()
    (folder / "graph.onnx").write_bytes(model.SerializeToString())
    return folder / "graph.onnx"


@pytest.mark.parametrize("case", ["dotdot", "absolute", "symlink", "hardlink", "missing", "short", "beside"])
def test_weights_outside_the_graph_are_refused_wherever_they_are(tmp_path: Path, case: str) -> None:
    secret, bundle = tmp_path / "secret", tmp_path / "bundle"
    secret.write_bytes(WEIGHTS.tobytes())
    path = graph_with_weights_at(bundle, {"dotdot": "../secret", "absolute": str(secret)}.get(case, "weights"))
    if case == "symlink":
        (bundle / "weights").symlink_to(secret)
    elif case == "hardlink":
        (bundle / "weights").hardlink_to(secret)
    elif case in ("short", "beside"):
        (bundle / "weights").write_bytes(WEIGHTS.tobytes()[: 8 if case == "short" else 16])
    with pytest.raises(BundleError, match=r"graph\.onnx: has weights in another file"):
        check_file(path, entry(path))


def test_onnx_runtime_itself_would_read_weights_through_a_hard_link(tmp_path: Path) -> None:
    """Why the rule above is ours: should this fail one day, ONNX Runtime has become stricter."""
    ort = pytest.importorskip("onnxruntime")
    (tmp_path / "secret").write_bytes(WEIGHTS.tobytes())
    path = graph_with_weights_at(tmp_path / "bundle", "weights")
    (path.parent / "weights").hardlink_to(tmp_path / "secret")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": np.zeros(4, np.float32)})[0], WEIGHTS)


def test_weights_of_a_node_outside_the_graph_are_refused(tmp_path: Path) -> None:
    path = graph_with_weights_at(tmp_path / "bundle", "weights", place="attribute")
    with pytest.raises(BundleError, match="external data"):
        check_file(path, entry(path))


def test_a_compiled_engine_in_a_graph_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context=b"code")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [4]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", values[:1], values[1:])
    path = tmp_path / "graph.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(BundleError, match=r"graph\.onnx: holds a compiled engine"):
        check_file(path, entry(path))


@pytest.mark.parametrize("length", [b"\x08", b"\x88\x00", b"\x88\x80\x80\x00"])
def test_external_data_are_found_however_the_length_is_written(length: bytes) -> None:
    assert find_danger(b"\x0a" + length + b"location\x12\x01w") is not None


@pytest.mark.parametrize("content", [b"/sam/allocation", b"\x0fsampling_location", b"location", b"locatio\x08n", b""])
def test_names_that_hold_the_word_location_are_no_external_data(content: bytes) -> None:
    assert find_danger(content) is None


@pytest.mark.parametrize("start", range((1 << 20) - 10, (1 << 20) + 2))
def test_what_lies_across_two_reads_is_found(tmp_path: Path, start: int) -> None:
    for needle in (b"\x08location", b"EPContext"):
        path = tmp_path / "graph.onnx"
        path.write_bytes(b"a" * start + needle + b"a" * 50)
        with pytest.raises(BundleError, match=r"external data|compiled engine"):
            check_file(path, entry(path))


def test_a_file_that_is_no_graph_may_hold_any_words(tmp_path: Path) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes(b"\x08location EPContext")
    check_file(path, entry(path, File))


def test_a_symbolic_link_is_refused_and_a_hard_link_of_the_right_content_taken(tmp_path: Path) -> None:
    """Package installers link files from their cache; the hash speaks for the content."""
    real, hard, soft = tmp_path / "real.onnx", tmp_path / "hard.onnx", tmp_path / "soft.onnx"
    real.write_bytes(b"graph")
    hard.hardlink_to(real)
    soft.symlink_to(real)
    check_file(hard, entry(real))
    with pytest.raises(BundleError, match=r"soft\.onnx: is a link.*cp -L"):
        check_file(soft, entry(real))


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_no_plain_file_is_refused_without_being_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "graph.onnx"
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(BundleError, match="is not a regular file"):
        check_file(path, GraphEntry("graph.onnx", "0" * 64, 1, (), ()))


def test_a_link_that_takes_the_files_place_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, link = tmp_path / "real.onnx", tmp_path / "link.onnx"
    real.write_bytes(b"graph")
    link.symlink_to(real)
    monkeypatch.setattr(Path, "lstat", lambda path: path.stat())  # as it was when it was looked at
    with pytest.raises(BundleError, match="cannot be read"):
        check_file(link, entry(real))
