"""ONNX Runtime, on the CPU or on CUDA."""

from __future__ import annotations

import importlib.metadata
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Arrays
from wordmask.errors import BundleError, DeviceError, MissingExtraError, NumericError
from wordmask.manifest import Graph as GraphEntry
from wordmask.manifest import Tensor

if TYPE_CHECKING:
    import onnxruntime

ELEMENT_TYPES = {"tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(float)": "float32"}


def default_threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class OrtGraph:
    """One ONNX graph in a session of its own."""

    def __init__(self, path: Path, entry: GraphEntry, *, device: str, threads: int | None = None) -> None:
        """Loads a graph.

        Args:
            path: the ONNX file; its hash is the caller's to check.
            entry: what the manifest says of it.
            device: `cpu`, `cuda` or `cuda:N`.
            threads: of one run on the CPU; all of this process's cores by default.

        Raises:
            DeviceError: the device's execution provider is not there.
            BundleError: the file is no valid graph, or its interface is not the manifest's.
        """
        ort = import_onnxruntime()
        provider = execution_provider(ort, device)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or default_threads()
        options.log_severity_level = 3
        options.enable_mem_pattern = False  # plans one block for the peak of every shape: 1.5 instead of 0.9 GiB
        # two branches run side by side: a pool that spins while it waits takes the other's cores
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            raise BundleError(_load_message(path, error)) from error
        used = self._session.get_providers()
        if used[0] != provider[0]:
            raise DeviceError(
                f"{path.name}: {provider[0]} was asked for but could not start; in use: {', '.join(used)}"
            )
        self._name = path.name
        _check_interface(path.name, self._session.get_inputs(), entry.inputs)
        _check_interface(path.name, self._session.get_outputs(), entry.outputs)
        self._outputs = [tensor.name for tensor in entry.outputs]
        self._run_options = ort.RunOptions()

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """See wordmask.backends.Graph."""
        results = self._session.run(self._outputs, dict(inputs), self._run_options)
        outputs = {name: np.asarray(value) for name, value in zip(self._outputs, results, strict=True)}
        for name, value in outputs.items():
            if not math.isfinite(value.sum(dtype=np.float64)):
                raise NumericError(f"{self._name}: the output {name!r} holds NaN or infinity")
        return outputs

    def cancel(self) -> None:
        """See wordmask.backends.Graph."""
        self._run_options.terminate = True


def import_onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        MissingExtraError: it is not installed.
        DeviceError: both of its distributions are, which breaks CUDA.
    """
    try:
        import onnxruntime as ort  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("running a bundle", "cpu", "onnxruntime") from error
    installed = {name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)}
    if len(installed) > 1:
        raise DeviceError(
            "onnxruntime and onnxruntime-gpu are both installed, and each overwrites the other's files: "
            "uninstall both, then install 'wordmask[cpu]' or 'wordmask[gpu]'"
        )
    return ort


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def execution_provider(ort: Any, device: str) -> tuple[str, dict[str, str]]:
    """Name and options of the device's execution provider.

    Raises:
        DeviceError: unknown device, or its provider is not in this build of ONNX Runtime.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu" and not index:
        return "CPUExecutionProvider", {}
    if kind != "cuda" or (index and not index.isdigit()):
        raise DeviceError(f"device is {device!r}, expected cpu, cuda or cuda:N")
    available = ort.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        raise DeviceError(
            f"device is {device!r}, but this ONNX Runtime has only {', '.join(available)}: "
            "install onnxruntime-gpu instead of onnxruntime (pip install 'wordmask[gpu]')"
        )
    return "CUDAExecutionProvider", {"device_id": index or "0"}


def _load_message(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0][:300]
    if "opset" in reason.lower() or "ir version" in reason.lower():
        return f"{path}: this ONNX Runtime is too old for the graph: upgrade onnxruntime ({reason})"
    return f"{path}: ONNX Runtime cannot load it: build the bundle again ({reason})"


def _check_interface(name: str, found: list[onnxruntime.NodeArg], expected: tuple[Tensor, ...]) -> None:
    actual = tuple(Tensor(a.name, ELEMENT_TYPES.get(a.type, a.type), tuple(a.shape)) for a in found)
    if actual != expected:
        raise BundleError(
            f"{name}: its interface is not the manifest's: found {_show(actual)}, expected {_show(expected)}; "
            "the bundle mixes two builds"
        )


def _show(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype}({', '.join(map(str, t.shape))})" for t in tensors)
