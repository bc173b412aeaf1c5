"""ONNX Runtime on a device: what stays there, what comes back, and what is refused.

Binding runs for real on the CPU's provider. Around it stands a fake that calls the same sessions CUDA's or a plugin's.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from fake_cuda import FakeCuda
from fake_tensorrt_runtime import FakeTensorRT
from wordmask.backends.device import Device, parse_device
from wordmask.backends.onnxruntime import tensorrt_rtx
from wordmask.backends.onnxruntime.graph import OrtGraph, check_assignment, check_distributions
from wordmask.backends.onnxruntime.io_binding import OrtTensor, run_bound
from wordmask.backends.onnxruntime.tensorrt_rtx import MODULE, PROVIDER, EngineCache
from wordmask.backends.tensorrt.graph import TrtGraph
from wordmask.bundle.engines import FOLDER, PLAN, Range, read_plan, sidecars
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.search import find_bundle
from wordmask.errors import BundleError, DeviceError, EngineError


@pytest.fixture(scope="module")
def tiny():
    return find_bundle("tiny")


@pytest.fixture(scope="module")
def entries(tiny):
    return read_manifest(tiny).graphs


@pytest.fixture(scope="module")
def tokens():
    rng = np.random.default_rng(0)
    return rng.integers(1, 1000, (3, 7), dtype=np.int32)


@pytest.fixture(scope="module")
def expected(tiny, entries, tokens):
    return OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cpu").run({"tokens": tokens})["embeddings"]


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("cpu", Device("cpu")),
        ("cuda", Device("cuda", 0)),
        ("cuda:1", Device("cuda", 1)),
        ("tensorrt:2", Device("tensorrt", 2)),
        ("tensorrt-rtx", Device("tensorrt-rtx", 0)),
    ],
)
def test_devices_are_read(text, device):
    assert parse_device(text) == device
    assert parse_device(str(device)) == device


@pytest.mark.parametrize("text", ["gpu", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "tensorrt:²", "", "TensorRT"])
def test_other_devices_are_refused(text):
    with pytest.raises(
        DeviceError, match="expected auto, cpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx"
    ):
        parse_device(text)


# binding, for real on the CPU


def session_of(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def bound(session, inputs, keep=()):
    outputs = [output.name for output in session.get_outputs()]
    return run_bound(session, inputs, outputs, keep, ("cpu", 0), onnxruntime.RunOptions())


def test_bound_runs_give_what_plain_runs_give(tiny, tokens, expected):
    session = session_of(tiny / "clip_text.onnx")
    np.testing.assert_array_equal(bound(session, {"tokens": tokens})["embeddings"], expected)
    np.testing.assert_array_equal(bound(session, {"tokens": tokens}, ("embeddings",))["embeddings"].numpy(), expected)


def test_kept_tensors_are_read_where_they_are(tiny, entries):
    encoder, decoder = session_of(tiny / "sam2_encoder.onnx"), session_of(tiny / "sam2_decoder.onnx")
    side = entries["sam2_encoder"].inputs[0].shape[1]
    image = np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.float32)
    points = {
        "point_coords": np.array([[[100.0, 90.0]], [[30.0, 200.0]]], np.float32),
        "point_labels": np.ones((2, 1), np.int32),
    }
    names = [output.name for output in encoder.get_outputs()]
    maps = bound(encoder, {"image": image}, names)
    arrays = {name: tensor.numpy() for name, tensor in maps.items()}
    for name, tensor in maps.items():
        assert (tensor.shape, tensor.dtype) == (arrays[name].shape, np.float32)
    found = bound(decoder, {**maps, **points})
    for name, value in zip(("masks", "iou"), decoder.run(["masks", "iou"], {**arrays, **points}), strict=True):
        np.testing.assert_array_equal(found[name], value)


def test_arrays_in_any_order_may_be_bound(tiny, tokens, expected):
    session = session_of(tiny / "clip_text.onnx")
    np.testing.assert_array_equal(bound(session, {"tokens": np.asfortranarray(tokens)})["embeddings"], expected)


def test_a_tensor_of_another_memory_comes_as_an_array(tiny, tokens, expected):
    session = session_of(tiny / "clip_text.onnx")
    value = OrtTensor(onnxruntime.OrtValue.ortvalue_from_numpy(tokens), ("cuda", 1), plugin=False)
    np.testing.assert_array_equal(bound(session, {"tokens": value})["embeddings"], expected)


def test_the_cpu_returns_arrays_whatever_is_to_be_kept(tiny, entries, tokens, expected):
    graph = OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cpu")
    found = graph.run({"tokens": tokens}, keep=("embeddings",))["embeddings"]
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, expected)


# an ONNX Runtime with devices it has not


class Binding:
    """A binding that takes the device's memory to be the host's."""

    def __init__(self, runtime, binding):
        self.runtime, self.binding, self.kept = runtime, binding, []

    def bind_cpu_input(self, name, value):
        self.runtime.bound.append((name, "host"))
        self.binding.bind_cpu_input(name, value)

    def bind_ortvalue_input(self, name, value):
        self.runtime.bound.append((name, "device"))
        self.binding.bind_ortvalue_input(name, value)

    def bind_input(self, name, device, index, dtype, shape, pointer):
        self.runtime.bound.append((name, f"{device}:{index}"))
        self.binding.bind_input(name, "cpu", 0, dtype, shape, pointer)

    def bind_output(self, name, device, index):
        self.runtime.bound.append((name, f"{device}:{index}"))
        self.binding.bind_output(name, "cpu", 0)

    def __getattr__(self, name):
        return getattr(self.binding, name)


class Session:
    """A real session on the CPU that says it runs on a provider."""

    def __init__(self, runtime, path, options, provider, taken):
        self.runtime, self.options, self.provider, self.taken = runtime, options, provider, taken
        self.real = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def get_providers(self):
        return [self.provider, "CPUExecutionProvider"]

    def get_provider_graph_assignment_info(self):
        def part(provider, *types):
            return SimpleNamespace(ep_name=provider, get_nodes=lambda: [SimpleNamespace(op_type=t) for t in types])

        left = [] if self.taken is None else [part("CPUExecutionProvider", *self.taken)]
        return [part(self.provider, "MatMul"), part("CPUExecutionProvider", "Shape", "Gather"), *left]

    def io_binding(self):
        return Binding(self.runtime, self.real.io_binding())

    def run_with_iobinding(self, binding, options):
        self.real.run_with_iobinding(binding.binding, options)

    def __getattr__(self, name):
        return getattr(self.real, name)


class Options:
    def __init__(self):
        self.entries, self.devices = {}, []

    def add_session_config_entry(self, key, value):
        self.entries[key] = value

    def add_provider_for_devices(self, devices, options):
        self.devices = devices


class FakeRuntime(types.ModuleType):
    """onnxruntime with CUDA, and with plugins. `left` are types of nodes that its provider does not take."""

    RunOptions, OrtValue, __version__ = onnxruntime.RunOptions, onnxruntime.OrtValue, "1.31"
    SessionOptions = Options

    def __init__(self, left=None, gpus=2):
        super().__init__("onnxruntime")
        self.left, self.gpus = left, gpus
        self.bound, self.sessions, self.registered = [], [], []
        self.refuses = None

    @staticmethod
    def get_available_providers():
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, source, options, providers=None, enable_fallback=1):  # noqa: N802
        assert enable_fallback == 0, "ONNX Runtime would fall back to the CPU"
        if self.refuses:
            raise RuntimeError(self.refuses)
        provider = providers[0][0] if providers else PROVIDER
        if "ep.context_file_path" in options.entries:
            assert (options.entries["ep.context_enable"], options.entries["ep.context_embed_mode"]) == ("1", "1")
            with open(source, "rb") as stream, open(options.entries["ep.context_file_path"], "wb") as target:  # noqa: PTH123
                target.write(stream.read())
        self.sessions.append((type(source), providers, options))
        return Session(self, source, options, provider, self.left)

    def register_execution_provider_library(self, name, path):
        if path == "no driver":
            raise RuntimeError("libcuda.so.1: cannot open shared object file\nmore")
        self.registered.append((name, path))

    @staticmethod
    def copy_tensors(sources, targets):
        for source, target in zip(sources, targets, strict=True):
            target.update_inplace(source.numpy())

    def get_ep_devices(self):
        found = [SimpleNamespace(ep_name="CPUExecutionProvider", ep_options={})]
        for index in range(self.gpus if self.registered else 0):
            hardware = SimpleNamespace(device_id=0x2684)
            found.append(SimpleNamespace(ep_name=PROVIDER, ep_options={"device_id": str(index)}, device=hardware))
        return found


@pytest.fixture
def runtime(monkeypatch):
    fake = FakeRuntime()
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return fake


@pytest.fixture
def plugin(monkeypatch, tmp_path_factory):
    module = types.ModuleType(MODULE)
    module.__version__, module.get_library_path = "0.5.0", lambda: "the library"
    module.__file__ = str(tmp_path_factory.mktemp("plugin") / "__init__.py")
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def test_on_cuda_kept_outputs_stay_and_are_bound_as_inputs(runtime, tiny, entries):
    clip, loftup = (
        OrtGraph(tiny / f"{name}.onnx", entries[name], device="cuda:1") for name in ("clip_image", "loftup")
    )
    assert [providers for _, providers, _ in runtime.sessions] == [[("CUDAExecutionProvider", {"device_id": "1"})]] * 2
    window = entries["clip_image"].inputs[0].shape[1]
    windows = np.random.default_rng(0).integers(0, 256, (1, window, window, 3), dtype=np.uint8)
    features = clip.run({"image": windows}, keep=("features",))["features"]
    assert isinstance(features, OrtTensor)
    assert runtime.bound == [("image", "host"), ("features", "cuda:1")]
    runtime.bound.clear()
    assert isinstance(clip.run({"image": windows})["features"], np.ndarray)
    assert runtime.bound == [("image", "host"), ("features", "cpu:0")]
    runtime.bound.clear()
    shapes = {t.name: t.shape for t in entries["loftup"].inputs}
    sizes = {"B": 1, "C": 2, "H+4": 16, "W+4": 16, "h*w": features.shape[2] * features.shape[3]}
    tables = {
        name: np.zeros([sizes.get(size, size) for size in shape], np.float32)
        for name, shape in shapes.items()
        if name not in ("features", "guidance")
    }
    loftup.run({"features": features, "guidance": windows[:, :16, :16], **tables})
    assert ("features", "device") in runtime.bound
    assert ("logits", "cpu:0") in runtime.bound


@pytest.mark.parametrize(("device", "place"), [("cuda:0", "cuda:0"), ("cuda:1", "host")])
def test_what_an_engine_of_tensorrt_wrote_is_read_where_it_is_once_it_is_there(
    runtime, tiny, entries, tokens, expected, monkeypatch, device, place
):
    cuda = FakeCuda(gpus=2)
    trt = FakeTensorRT(cuda)
    cuda.install(monkeypatch)
    trt.install(monkeypatch)
    rows = {"B": Range(3, 3, 3)}
    entry = GraphEntry(
        "ids.onnx", "a" * 64, 1, (Tensor("x", "float32", ("B", 7)),), (Tensor("tokens", "int32", ("B", 7)),)
    )
    plan, sidecar = trt.add("ids", entry, (rows,), lambda given: {"tokens": given["x"].astype(np.int32)})
    writer = TrtGraph(plan, sidecar, entry)  # to free it would wait for its work
    kept = writer.run({"x": tokens.astype(np.float32)}, keep=("tokens",))["tokens"]
    graph = OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device=device)
    np.testing.assert_array_equal(graph.run({"tokens": kept})["embeddings"], expected)
    assert runtime.bound[0] == ("tokens", place)


def test_a_device_that_starts_another_provider_is_an_error(runtime, tiny, entries, monkeypatch):
    monkeypatch.setattr(Session, "get_providers", lambda self: ["CPUExecutionProvider"])
    monkeypatch.setattr("wordmask.backends.onnxruntime.cuda.missing_library", lambda ort: "libcublas is missing")
    said = (
        r"CUDAExecutionProvider was asked for but could not start; in use: CPUExecutionProvider \(libcublas is missing"
    )
    with pytest.raises(DeviceError, match=said):
        OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cuda")


def install(folder, *names):
    """Makes folders look like those that pip has installed distributions of ONNX Runtime in."""
    for name in names:
        facts = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        facts.mkdir(parents=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")


def test_two_distributions_of_onnx_runtime_in_one_folder_are_an_error_on_a_gpu(
    runtime, tiny, entries, tmp_path, monkeypatch
):
    install(tmp_path, "onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(DeviceError, match="onnxruntime and onnxruntime-gpu are both installed"):
        OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cuda")


def test_two_distributions_of_onnx_runtime_in_folders_of_their_own_do_no_harm(tmp_path, monkeypatch):
    install(tmp_path / "one", "onnxruntime")
    install(tmp_path / "other", "onnxruntime-gpu")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "one"), str(tmp_path / "other"), *sys.path])
    check_distributions()


def test_cudas_libraries_are_loaded_before_the_first_session(runtime, tiny, entries, monkeypatch):
    order = []
    monkeypatch.setattr(runtime, "preload_dlls", lambda **options: order.append("libraries"), raising=False)
    opened = runtime.InferenceSession
    monkeypatch.setattr(runtime, "InferenceSession", lambda *a, **k: order.append("session") or opened(*a, **k))
    OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cuda")
    OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cuda")
    assert order == ["libraries", "session", "session"]


@pytest.mark.parametrize("operator", ["Conv", "GatherND", "ReduceMax", "AnOperatorOfTomorrow"])
def test_nodes_left_to_the_cpu_are_an_error_unless_they_are_known_to_be_of_shapes(runtime, tiny, entries, operator):
    runtime.left = [operator, "Concat"]
    with pytest.raises(DeviceError, match=f"CUDAExecutionProvider was asked for but does not take {operator} of its"):
        OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device="cuda")


def test_what_onnx_runtime_says_of_its_nodes_is_understood(tiny):
    """For real: a graph on the CPU is the CPU's, and nobody else's."""
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(str(tiny / "clip_text.onnx"), options, providers=["CPUExecutionProvider"])
    check_assignment("clip_text", session, "CPUExecutionProvider")
    pretender = SimpleNamespace(
        get_providers=lambda: ["Other"],
        get_provider_graph_assignment_info=session.get_provider_graph_assignment_info,
    )
    with pytest.raises(DeviceError, match=r"Other was asked for but does not take .*MatMul"):
        check_assignment("clip_text", pretender, "Other")


def rtx(tiny, entries, bundle=None, device="tensorrt-rtx:1"):
    cache = EngineCache(bundle, "clip_text", "fp16") if bundle else None
    return OrtGraph(tiny / "clip_text.onnx", entries["clip_text"], device=device, cache=cache)


def test_tensorrt_rtx_runs_on_the_gpu_that_was_asked_for(runtime, plugin, tiny, entries, tokens, expected):
    graph = rtx(tiny, entries)
    assert runtime.registered == [(PROVIDER, "the library")]
    ((_, providers, options),) = runtime.sessions
    assert providers is None
    assert [device.ep_options for device in options.devices] == [{"device_id": "1"}]
    np.testing.assert_array_equal(graph.run({"tokens": tokens})["embeddings"], expected)
    kept = graph.run({"tokens": tokens}, keep=("embeddings",))["embeddings"]
    assert runtime.bound[-1] == ("embeddings", "cuda:1")
    np.testing.assert_array_equal(kept.numpy(), expected)
    rtx(tiny, entries)
    assert len(runtime.registered) == 1  # once a process


def test_its_engine_is_built_once_and_then_loaded(runtime, plugin, tiny, entries, tmp_path, tokens, expected):
    for _ in range(2):
        graph = rtx(tiny, entries, tmp_path)
        np.testing.assert_array_equal(graph.run({"tokens": tokens})["embeddings"], expected)
    assert [source for source, _, _ in runtime.sessions] == [str, bytes]
    ((folder, sidecar),) = sidecars(tmp_path)
    assert folder.name.startswith("rtx-clip_text-")
    assert (sidecar.request.target.tensorrt, sidecar.request.target.architecture) == ("rtx 0.5.0", "pci_2684")
    assert read_plan(folder, sidecar)
    assert [path.name for path in (tmp_path / FOLDER).iterdir()] == [folder.name]


@pytest.mark.parametrize("change", ["plugin", "graph"])
def test_another_plugin_or_graph_builds_its_own(runtime, plugin, tiny, entries, tmp_path, change):
    import dataclasses

    rtx(tiny, entries, tmp_path)
    if change == "plugin":
        plugin.__version__ = "0.6.0"
        tensorrt_rtx.register.cache_clear()
    else:
        entries = {"clip_text": dataclasses.replace(entries["clip_text"], sha256="c" * 64)}
    rtx(tiny, entries, tmp_path)
    assert [source for source, _, _ in runtime.sessions] == [str, str]
    assert len(list(sidecars(tmp_path))) == 2


def test_an_engine_that_was_changed_is_refused(runtime, plugin, tiny, entries, tmp_path):
    rtx(tiny, entries, tmp_path)
    ((folder, _),) = sidecars(tmp_path)
    (folder / PLAN).write_bytes(b"other")
    with pytest.raises(EngineError, match="not the plan that was built"):
        rtx(tiny, entries, tmp_path)


def test_a_bundle_nobody_may_write_runs_without_a_kept_engine(
    runtime, plugin, tiny, entries, tmp_path, tokens, expected, caplog, monkeypatch
):
    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("wordmask.backends.onnxruntime.tensorrt_rtx.atomic_folder", refuse)
    graph = rtx(tiny, entries, tmp_path)
    np.testing.assert_array_equal(graph.run({"tokens": tokens})["embeddings"], expected)
    assert "the engine cannot be kept there" in caplog.text


def test_what_tensorrt_rtx_cannot_build_leaves_nothing_behind(runtime, plugin, tiny, entries, tmp_path):
    runtime.refuses = "no kernel\nand so on"
    with pytest.raises(BundleError, match=r"clip_text\.onnx: TensorRT-RTX cannot build it \(no kernel\)"):
        rtx(tiny, entries, tmp_path)
    assert list((tmp_path / FOLDER).iterdir()) == []


def test_nodes_that_tensorrt_rtx_leaves_to_the_cpu_are_an_error(runtime, plugin, tiny, entries):
    runtime.left = ["LayerNormalization"]
    with pytest.raises(DeviceError, match=f"{PROVIDER} was asked for but does not take LayerNormalization"):
        rtx(tiny, entries)


def test_a_missing_plugin_names_the_install_that_brings_it(runtime, tiny, entries, monkeypatch):
    monkeypatch.setitem(sys.modules, MODULE, None)
    with pytest.raises(DeviceError, match=r"pip install .*onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        rtx(tiny, entries)


def test_a_plugin_without_a_driver_is_an_error(runtime, plugin, tiny, entries):
    plugin.get_library_path = lambda: "no driver"
    with pytest.raises(DeviceError, match=r"cannot start \(libcuda\.so\.1: cannot open shared object file\)"):
        rtx(tiny, entries)


def test_a_gpu_it_does_not_support_is_an_error(runtime, plugin, tiny, entries):
    with pytest.raises(DeviceError, match=r"tensorrt-rtx:5, .* tensorrt-rtx:0, tensorrt-rtx:1"):
        rtx(tiny, entries, device="tensorrt-rtx:5")
    runtime.gpus = 0
    with pytest.raises(DeviceError, match=r"supports: none; it is for compute capability 8\.6, 8\.9 and 12\.x"):
        rtx(tiny, entries)


@pytest.mark.parametrize(
    ("capability", "supported"),
    [("8.6", True), ("8.9", True), ("12.0", True), ("12.1", True), ("8.0", False), ("9.0", False), ("10.0", False),
     ("7.5", False), ("1.2", False), ("", False)],
)  # fmt: skip
def test_tensorrt_rtx_is_for_some_gpus(capability, supported):
    assert tensorrt_rtx.supports(capability) == supported


def test_the_cuda_runtime_that_the_plugin_ships_is_loaded_before_it_starts(runtime, plugin, tiny, entries, monkeypatch):
    order = []
    shipped = Path(plugin.__file__).parent / "libcudart.so.13.4.36"
    shipped.touch()
    monkeypatch.setattr(tensorrt_rtx.ctypes, "CDLL", lambda path, mode: order.append(path))
    registering = runtime.register_execution_provider_library
    monkeypatch.setattr(
        runtime, "register_execution_provider_library", lambda *each: order.append("plugin") or registering(*each)
    )
    rtx(tiny, entries)
    assert order == [str(shipped), "plugin"]


def test_a_plugin_without_a_cuda_runtime_of_its_own_starts_too(runtime, plugin, tiny, entries, caplog):
    (Path(plugin.__file__).parent / "libcudart.so.13").write_bytes(b"damaged")
    rtx(tiny, entries)
    assert "libcudart.so.13: cannot be loaded" in caplog.text
