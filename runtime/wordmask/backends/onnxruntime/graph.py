"""ONNX Runtime: on the CPU, on CUDA, and with NVIDIA's TensorRT-RTX plugin."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wordmask.backends import Value, Values, check_finite, to_host
from wordmask.backends.device import parse_device
from wordmask.backends.memory import is_out_of_memory
from wordmask.backends.onnxruntime import cuda
from wordmask.backends.onnxruntime.io_binding import ELEMENT_TYPES, run_bound
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.errors import BundleError, DeviceError, MissingExtraError, install_hint
from wordmask.system.limits import processors

if TYPE_CHECKING:
    import onnxruntime

    from wordmask.backends.onnxruntime.tensorrt_rtx import EngineCache

# What may stay on the CPU beside CUDA: arithmetic on shapes, which ONNX Runtime keeps there on purpose because its
# inputs are there, and ArgMax, which CUDA has of floats alone and CLIP's text takes of tokens.
SHAPE_OPERATORS = {
    *("Add", "And", "ArgMax", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand", "Floor", "Gather"),
    *("Greater", "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Neg", "Not", "Or"),
    *("Range", "ReduceProd", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where"),
}
# In ONNX Runtime's messages: the place in its source, which hides the reason; what marks a graph as too new for it.
_SOURCE = re.compile(r"^.*?/onnxruntime_src/\S+ .*?\) |^\[ONNXRuntimeError\] : \d+ : ")
_TOO_NEW = re.compile(r"Unsupported model IR version|Opset \d+ is under development|only \*guarantees\* support")


class OrtGraph:
    """One ONNX graph in a session of its own."""

    def __init__(
        self,
        path: Path,
        entry: GraphEntry,
        *,
        device: str,
        threads: int | None = None,
        cache: EngineCache | None = None,
    ) -> None:
        """Loads a graph.

        Args:
            path: the ONNX file; its hash is the caller's to check.
            entry: its manifest entry.
            device: `cpu`, `cuda[:N]` or `tensorrt-rtx[:N]`.
            threads: of one run on the CPU; all of this process's cores by default.
            cache: where TensorRT-RTX keeps the engine it builds; built anew every time without one.

        Raises:
            DeviceError: the device's execution provider is not there, or does not take the graph.
            BundleError: the file is no valid graph, or its interface is not the manifest's.
        """
        place = parse_device(device)
        ort = import_onnxruntime("gpu" if place.kind == "cuda" else "cpu")
        options = session_options(ort, threads)
        if place.kind != "cpu":
            check_distributions()
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for check_assignment
        if place.kind == "tensorrt-rtx":
            from wordmask.backends.onnxruntime.tensorrt_rtx import PROVIDER, open_rtx  # noqa: PLC0415

            provider, plugin = PROVIDER, True
            self._session = open_rtx(ort, path, entry, options, place.index, cache)
        else:
            (provider, settings), plugin = execution_provider(ort, device), False
            with cuda.without_warnings(ort) if place.kind == "cuda" else contextlib.nullcontext():
                self._session = open_session(ort, path, options, [(provider, settings)])
        if place.kind != "cpu":
            check_assignment(path.name, self._session, provider)
        self._name = path.name
        _check_interface(path.name, self._session.get_inputs(), entry.inputs)
        _check_interface(path.name, self._session.get_outputs(), entry.outputs)
        self._outputs = [tensor.name for tensor in entry.outputs]
        self._memory = None if place.kind == "cpu" else ("cuda", place.index)
        self._plugin = plugin
        self._run_options = ort.RunOptions()

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph."""
        return None

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph."""
        outputs: dict[str, Value]
        if self._memory is None:
            arrays = {name: to_host(value) for name, value in inputs.items()}
            results = self._session.run(self._outputs, arrays, self._run_options)
            outputs = {name: np.asarray(value) for name, value in zip(self._outputs, results, strict=True)}
        else:
            try:
                outputs = run_bound(
                    self._session, inputs, self._outputs, keep, self._memory, self._run_options, plugin=self._plugin
                )
            except Exception as error:  # ONNX Runtime's exceptions share no public base
                if (reason := cuda.failure(error)) is None:
                    raise
                raise DeviceError(f"{self._name}: {reason}") from error
        check_finite(self._name, outputs)
        return outputs

    def cancel(self) -> None:
        """See wordmask.backends.Graph."""
        self._run_options.terminate = True


def import_onnxruntime(extra: str = "cpu") -> Any:
    """The onnxruntime module, with telemetry off: official builds since 1.29 report sessions to Microsoft.

    It reads the environment when the process opens its first session, so an earlier session decides.

    Args:
        extra: brings it for the device that is meant.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime as ort  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("running a bundle", extra, "onnxruntime") from error
    return ort


def check_distributions() -> None:
    """Checks that no two distributions of ONNX Runtime share a folder. A CPU does not mind, and need not wait for this.

    Two in folders of their own do no harm: Python imports the first on its path.

    Raises:
        DeviceError: both are in one folder, where each has overwritten the other's files, which breaks CUDA.
    """
    folders = [folder for name in ("onnxruntime", "onnxruntime-gpu") if (folder := _folder_of(name)) is not None]
    if len(folders) != len(set(folders)):
        raise DeviceError(
            f"onnxruntime and onnxruntime-gpu are both installed in {folders[0].parent}, where each overwrites the "
            f"other's files: uninstall both, then {install_hint('cpu')} or {install_hint('gpu')}"
        )


def _folder_of(distribution: str) -> Path | None:
    """The folder that a distribution is installed in; None if it is not installed."""
    import importlib.metadata  # noqa: PLC0415  (takes a tenth of the time a small bundle needs to load)

    try:
        return Path(str(importlib.metadata.distribution(distribution).locate_file("onnxruntime"))).resolve()
    except importlib.metadata.PackageNotFoundError:
        return None


def session_options(ort: Any, threads: int | None) -> Any:
    """Options that all sessions share."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads or processors()
    options.log_severity_level = 3
    options.enable_mem_pattern = False  # plans one block for the peak of every shape: 1.5 instead of 0.9 GiB
    # two branches run side by side: a pool that spins while it waits takes the other's cores
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def execution_provider(ort: Any, device: str) -> tuple[str, dict[str, str]]:
    """Name and options of the execution provider of `cpu` or `cuda[:N]`.

    Raises:
        DeviceError: unknown device, or its provider is not in this build of ONNX Runtime.
    """
    place = parse_device(device)
    if place.kind == "cpu":
        return "CPUExecutionProvider", {}
    available = ort.get_available_providers()
    if cuda.PROVIDER not in available:
        raise DeviceError(
            f"device is {device!r}, but this ONNX Runtime has only {', '.join(available)}: "
            f"pip uninstall onnxruntime, then {install_hint('gpu')}, which brings onnxruntime-gpu in its place"
        )
    cuda.preload_cuda(ort)
    return cuda.PROVIDER, {"device_id": str(place.index)}


def open_session(ort: Any, path: Path, options: Any, providers: list[tuple[str, dict[str, str]]]) -> Any:
    """A session on a file.

    Raises:
        BundleError: ONNX Runtime cannot load it.
        DeviceError: the GPU cannot be used, or memory is short.
    """
    try:
        return ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        if (reason := cuda.failure(error)) is not None:
            raise DeviceError(f"{path.name}: {reason}") from error
        if is_out_of_memory(error):
            raise DeviceError(f"{path.name}: not enough memory to load it ({_reason(error)})") from error
        raise BundleError(_load_message(path, error)) from error


def check_assignment(name: str, session: Any, provider: str) -> None:
    """Checks that a provider runs a graph, and has left nothing but SHAPE_OPERATORS to another.

    ONNX Runtime itself only warns.

    Raises:
        DeviceError: it does not.
    """
    used = session.get_providers()
    if used[0] != provider:
        why = cuda.missing_library(import_onnxruntime()) if provider == cuda.PROVIDER else None
        because = f" ({why})" if why else ""
        raise DeviceError(f"{name}: {provider} was asked for but could not start; in use: {', '.join(used)}{because}")
    if not hasattr(session, "get_provider_graph_assignment_info"):  # before ONNX Runtime 1.24
        return
    parts = session.get_provider_graph_assignment_info()
    left = {node.op_type for part in parts if part.ep_name != provider for node in part.get_nodes()} - SHAPE_OPERATORS
    if left or not any(part.ep_name == provider for part in parts):
        raise DeviceError(
            f"{name}: {provider} was asked for but does not take {', '.join(sorted(left)) or 'any'} of its nodes, "
            "which would run on the CPU; use another --device"
        )


def _load_message(path: Path, error: Exception) -> str:
    reason = _reason(error)
    if _TOO_NEW.search(reason):
        return f"{path}: this ONNX Runtime is too old for the graph: upgrade onnxruntime ({reason})"
    return f"{path}: ONNX Runtime cannot load it: build the bundle again ({reason})"


def _reason(error: Exception) -> str:
    return _SOURCE.sub("", " ".join(str(error).split()))[:300]


def _check_interface(name: str, found: list[onnxruntime.NodeArg], expected: tuple[Tensor, ...]) -> None:
    actual = tuple(Tensor(a.name, ELEMENT_TYPES.get(a.type, a.type), tuple(a.shape)) for a in found)
    if actual != expected:
        raise BundleError(
            f"{name}: its interface is not the manifest's: found {_show(actual)}, expected {_show(expected)}; "
            "the bundle mixes two builds"
        )


def _show(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{t.name} {t.dtype}({', '.join(map(str, t.shape))})" for t in tensors)
