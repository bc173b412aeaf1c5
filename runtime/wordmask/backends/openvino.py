"""OpenVINO: on processors with bfloat16 units twice as fast as single precision, else about as fast as ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import numpy as np

from wordmask.backends import Value, Values, check_finite, to_host
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.errors import BundleError, DeviceError, MissingExtraError
from wordmask.system.limits import processors

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoGraph:
    """One ONNX graph compiled for the processor."""

    def __init__(
        self, path: Path, entry: GraphEntry, *, precision: Literal["fp32", "bf16"], threads: int | None = None
    ) -> None:
        """Compiles a graph.

        Args:
            path: the ONNX file; its hash is the caller's to check.
            entry: its manifest entry.
            precision: of products; bf16 sums in fp32.
            threads: of one run; all of this process's cores by default.

        Raises:
            MissingExtraError: OpenVINO is not installed.
            DeviceError: the processor has no bf16 units.
            BundleError: the file is no valid graph, or its interface is not the manifest's.
        """
        core = import_openvino().Core()
        if precision == "bf16" and not has_bf16():
            raise DeviceError("this processor has no bfloat16 units: use --device openvino, which computes in fp32")
        settings = {
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": threads or processors(),
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._model = core.compile_model(str(path), "CPU", settings)
        except Exception as error:  # OpenVINO raises RuntimeError of several kinds
            reason = str(error).strip().splitlines()[-1][:300]
            raise BundleError(f"{path}: OpenVINO cannot load it: build the bundle again ({reason})") from error
        self._name, self._outputs = path.name, [tensor.name for tensor in entry.outputs]
        _check_names(path.name, self._model.inputs, entry.inputs)
        _check_names(path.name, self._model.outputs, entry.outputs)
        self._cancelled = threading.Event()
        self._running: set[Any] = set()

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph."""
        return None

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph."""
        request = self._model.create_infer_request()  # one a run: threads do not share it
        self._running.add(request)
        try:
            if self._cancelled.is_set():
                raise RuntimeError(f"{self._name}: the run was cancelled")
            found = request.infer({name: np.ascontiguousarray(to_host(value)) for name, value in inputs.items()})
        finally:
            self._running.discard(request)
        outputs: dict[str, Value] = {
            name: np.array(found[name]) for name in self._outputs
        }  # copies: the request owns the others
        check_finite(self._name, outputs)
        return outputs

    def cancel(self) -> None:
        """See wordmask.backends.Graph."""
        self._cancelled.set()
        for request in list(self._running):
            request.cancel()


def has_bf16() -> bool:
    """Whether this processor has bfloat16 units.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    return "BF16" in import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def import_openvino() -> Any:
    """The openvino module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import openvino  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("--device openvino", "openvino", "openvino") from error
    return openvino


def _check_names(graph: str, found: Any, expected: tuple[Tensor, ...]) -> None:
    names = [port.get_any_name() for port in found]
    if names != [tensor.name for tensor in expected]:
        raise BundleError(
            f"{graph}: its interface is not the manifest's: found {', '.join(names)}, expected "
            f"{', '.join(tensor.name for tensor in expected)}; the bundle mixes two builds"
        )
