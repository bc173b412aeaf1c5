"""What is said where CUDA cannot start in ONNX Runtime: the driver, a library or the GPU is named, never the bundle.

The messages are those of onnxruntime-gpu 1.31.1. The last tests bring them about again, with that package and a driver
that is a stub: `pip install --target FOLDER --no-deps onnxruntime-gpu nvidia-cuda-runtime nvidia-cublas nvidia-curand`,
and WORDMASK_ONNXRUNTIME_GPU=FOLDER in the environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from wordmask.backends.onnxruntime import cuda
from wordmask.backends.onnxruntime.graph import OrtGraph, open_session
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import BundleError, DeviceError

ROOT = Path(__file__).resolve().parents[3]
TINY, STUB = ROOT / "models_cache" / "tiny", ROOT / "tests" / "support" / "stub_driver.c"
WHEN_OPENED = (
    "/onnxruntime_src/onnxruntime/core/providers/cuda/cuda_execution_provider_info.cc:63 static "
    "onnxruntime::CUDAExecutionProviderInfo onnxruntime::CUDAExecutionProviderInfo::FromProviderOptions(const "
    "onnxruntime::ProviderOptions&) [ONNXRuntimeError] : 1 : FAIL : provider_options_utils.h:187 Parse Failed to parse "
    'provider option "device_id": CUDA failure {}: {} ; GPU=-1 ; hostname=vm ; file=/onnxruntime_src/onnxruntime/core/'
    "providers/cuda/cuda_execution_provider_info.cc ; line=70 ; expr=cudaGetDeviceCount(&num_devices); \n"
)
FAILURES = [
    (35, "CUDA driver version is insufficient for CUDA runtime version", "the driver is too old"),
    (100, "no CUDA-capable device is detected", "CUDA_VISIBLE_DEVICES may hide them"),
    (803, "system has unsupported display driver / cuda driver combination", "restart the machine"),
    (999, "unknown error", "nvidia-smi says whether the driver works"),
]


class Failing:
    """An onnxruntime whose sessions do not open, or do not run."""

    def __init__(self, error):
        self.error, self.levels = error, []

    def InferenceSession(self, *arguments, **settings):  # noqa: N802
        raise self.error

    def set_default_logger_severity(self, level):
        self.levels.append(level)


@pytest.mark.parametrize(("code", "reason", "advice"), FAILURES)
def test_a_driver_that_refuses_is_named_with_its_reason_and_what_to_do(code, reason, advice):
    failing = Failing(RuntimeError(WHEN_OPENED.format(code, reason)))
    with pytest.raises(DeviceError) as caught:
        open_session(failing, TINY / "loftup.onnx", None, [])
    assert str(caught.value).startswith(f"loftup.onnx: CUDA failure {code}, {reason}: ")
    assert advice in str(caught.value)
    assert "build the bundle again" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cuDNN is unavailable for CUDA Execution Provider: libcudnn.so.9 not found", r"cuDNN.*libcudnn.so.9.*\[gpu\]"),
        ("[ONNXRuntimeError] : 1 : FAIL : Invalid device id. Device id should be less than total number of devices (1)",
         r"less than total number of devices \(1\): nvidia-smi lists"),
        ("CUBLAS failure 13: the GPU program failed to execute ; GPU=0 ; hostname=vm", "CUDA failure 13, the GPU prog"),
        ("bad allocation", "not enough memory to load it"),
    ],
)  # fmt: skip
def test_other_errors_of_the_gpu_are_not_blamed_on_the_bundle(text, said):
    with pytest.raises(DeviceError, match=said):
        open_session(Failing(RuntimeError(text)), TINY / "loftup.onnx", None, [])


def test_an_error_of_the_graph_is_still_the_bundles():
    with pytest.raises(BundleError, match="build the bundle again"):
        open_session(Failing(RuntimeError("Protobuf parsing failed")), TINY / "loftup.onnx", None, [])


def test_a_gpu_that_fails_in_a_run_is_a_device_error(monkeypatch):
    graph = OrtGraph(TINY / "clip_text.onnx", read_manifest(TINY).graphs["clip_text"], device="cpu")
    graph._memory = ("cuda", 0)

    def fail(*arguments, **settings):
        raise RuntimeError("Non-zero status code: CUDA failure 719: unspecified launch failure ; GPU=0 ; hostname=vm")

    monkeypatch.setattr("wordmask.backends.onnxruntime.graph.run_bound", fail)
    with pytest.raises(DeviceError, match=r"clip_text\.onnx: CUDA failure 719, unspecified launch failure"):
        graph.run({})


def test_only_warnings_are_silenced_and_only_while_a_session_opens():
    failing = Failing(ValueError("whatever"))
    with pytest.raises(ValueError, match="whatever"), cuda.without_warnings(failing):
        raise failing.error
    assert failing.levels == [cuda.ERRORS, cuda.WARNINGS]
    with cuda.without_warnings(SimpleNamespace()):  # an old onnxruntime has no such function
        pass


def test_a_library_that_cannot_be_loaded_is_named(tmp_path, monkeypatch):
    ort = SimpleNamespace(__file__=str(tmp_path / "onnxruntime" / "__init__.py"))
    loaded = []

    def load(path, mode):
        loaded.append(Path(path).name)
        if reason is not None and "_cuda" in path:
            raise OSError(f"{reason}: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(cuda.ctypes, "CDLL", load)
    reason = "libcublasLt.so.13"
    assert str(cuda.missing_library(ort)).endswith("pip install '.[gpu]' brings CUDA's libraries")
    reason = "libcuda.so.1"
    assert str(cuda.missing_library(ort)).endswith("it belongs to NVIDIA's driver, which must be installed")
    reason = None
    assert cuda.missing_library(ort) is None
    assert loaded[:2] == list(cuda.LIBRARIES)


# with the package itself


CODE = """
import sys
from pathlib import Path
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import DeviceError
bundle = Path(sys.argv[1])
try:
    OrtGraph(bundle / "clip_text.onnx", read_manifest(bundle).graphs["clip_text"], device="cuda")
except DeviceError as error:
    print("DeviceError:", error)
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """Folder of the stub driver."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to make a driver with")
    folder = tmp_path_factory.mktemp("driver")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / "libcuda.so.1"), str(STUB)], check=True)
    return folder


def said_on_cuda(driver=None, **stub):
    """What is said where a graph is to run on CUDA, with the real onnxruntime-gpu."""
    package = os.environ.get("WORDMASK_ONNXRUNTIME_GPU")
    if not package:
        pytest.skip("$WORDMASK_ONNXRUNTIME_GPU names no folder with onnxruntime-gpu")
    paths = {"PYTHONPATH": os.pathsep.join([package, str(ROOT / "runtime")]), "LD_LIBRARY_PATH": str(driver or "")}
    environment = {**os.environ, **paths, **{f"STUB_{name.upper()}": str(value) for name, value in stub.items()}}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(TINY)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_onnxruntime_gpu_without_a_driver_names_the_driver():
    out, _ = said_on_cuda()
    assert "DeviceError: clip_text.onnx: CUDAExecutionProvider was asked for but could not start" in out
    assert "libcuda.so.1: cannot open shared object file" in out
    assert "it belongs to NVIDIA's driver" in out


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ({"version": 12080}, "CUDA failure 35, CUDA driver version is insufficient for CUDA runtime version: "),
        ({"cuinit": 100}, "CUDA failure 100, no CUDA-capable device is detected"),
        ({"cuinit": 803}, "CUDA failure 803, system has unsupported display driver"),
        ({"cuinit": 999}, "CUDA failure 999, unknown error: nvidia-smi says"),
    ],
)  # fmt: skip
def test_onnxruntime_gpu_with_a_driver_that_refuses_says_why(driver, stub, said):
    out, log = said_on_cuda(driver, **stub)
    assert f"DeviceError: clip_text.onnx: {said}" in out
    assert "No registered plugin EP device found" not in log
