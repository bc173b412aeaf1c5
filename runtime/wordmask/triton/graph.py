"""A graph that an NVIDIA Triton server runs, called from the server's own Python backend (BLS).

Tensors go through the host's memory. What SAM2's encoder gives could stay on the GPU until its decoder reads it; that
has not been tried on a server, so it is not done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Value, Values, check_finite, to_host
from wordmask.backends.tensorrt.buckets import Buckets
from wordmask.bundle.manifest import GraphEntry
from wordmask.errors import DeviceError

SHARED_MEMORY_IS_FULL = "shared memory pool"  # in messages of Triton's Python backend
Arrays = Mapping[str, NDArray[Any]]


class SharedMemoryError(DeviceError):
    """The shared memory between the server and its Python processes is full."""


class TritonGraph:
    """One model of the server that this process serves a request for."""

    def __init__(
        self, backend: Any, model: str, entry: GraphEntry, *, rows: int | None = None, buckets: Buckets | None = None
    ) -> None:
        """Nothing is called yet: Triton allows it only while a request is answered.

        Args:
            backend: the module triton_python_backend_utils.
            model: its name on the server.
            entry: of the manifest.
            rows: most rows of a request; None if the server does not limit them.
            buckets: of a TensorRT engine; rows are padded and cut to them.
        """
        self._backend = backend
        self._model = model
        self._entry = entry
        self._rows = rows
        self._buckets = buckets
        self._outputs = [tensor.name for tensor in entry.outputs]
        self._cancelled = False

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph."""
        return self._buckets.largest if self._buckets else self._rows

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph; nothing is kept on a device.

        Raises:
            DeviceError: the server refuses the request, or the graph was cancelled.
            SharedMemoryError: the tensors do not fit into shared memory.
            EngineError: the model is an engine that was not built for these sizes.
        """
        arrays = {tensor.name: np.ascontiguousarray(to_host(inputs[tensor.name])) for tensor in self._entry.inputs}
        outputs: dict[str, Value]
        if self._buckets is None:
            outputs = {**self._request(arrays)}
        else:
            batches = list(self._in_buckets(arrays, self._buckets))
            outputs = {name: np.concatenate([batch[name] for batch in batches]) for name in self._outputs}
        check_finite(self._model, outputs)
        return outputs

    def cancel(self) -> None:
        """See wordmask.backends.Graph: no further request is made; one under way is not ended."""
        self._cancelled = True

    def _in_buckets(self, arrays: Arrays, buckets: Buckets) -> Iterator[dict[str, NDArray[Any]]]:
        """Splits the rows as the engine's profiles hold them; rows that pad a profile are zero."""
        for rows in buckets.row_ranges(buckets.sizes(arrays)):
            fed = dict(arrays)
            for tensor in filter(buckets.has_rows, self._entry.inputs):
                fed[tensor.name] = np.zeros(rows.shape(tensor), tensor.dtype)
                fed[tensor.name][: rows.stop - rows.start] = arrays[tensor.name][rows.start : rows.stop]
            found = self._request(fed)
            cut = {tensor.name for tensor in self._entry.outputs if buckets.has_rows(tensor)}
            yield {name: found[name][: rows.stop - rows.start] if name in cut else found[name] for name in found}

    def _request(self, arrays: Arrays) -> dict[str, NDArray[Any]]:
        if self._cancelled:
            raise DeviceError(f"{self._model}: cancelled")
        backend = self._backend
        try:
            response = backend.InferenceRequest(
                model_name=self._model,
                requested_output_names=self._outputs,
                inputs=[backend.Tensor(name, array) for name, array in arrays.items()],
                preferred_memory=backend.PreferredMemory(backend.TRITONSERVER_MEMORY_CPU, 0),
            ).exec()
        except Exception as error:  # the backend's own
            raise self._error(str(error)) from error
        if response.has_error():
            raise self._error(response.error().message())
        found = {name: backend.get_output_tensor_by_name(response, name) for name in self._outputs}
        return {name: np.asarray(tensor.as_numpy()) for name, tensor in found.items()}

    def _error(self, message: str) -> DeviceError:
        found = f"{self._model}: Triton could not run it: {message}"
        if SHARED_MEMORY_IS_FULL not in message:
            return DeviceError(found)
        return SharedMemoryError(f"{found}: start the server with more shared memory, docker with a larger --shm-size")
