"""TensorRT engines through the `tensorrt` Python API, with cuda-python for all else."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Value, Values, check_finite, to_host
from wordmask.backends.tensorrt.buckets import Buckets, RowRange
from wordmask.backends.tensorrt.cuda import Gpu, import_tensorrt, target_of
from wordmask.backends.tensorrt.cuda_memory import (
    CudaTensor,
    DeviceMemory,
    Event,
    PinnedMemory,
    PinnedPool,
    Pool,
    Stream,
)
from wordmask.backends.tensorrt.execution_context import ExecutionSlot
from wordmask.bundle.engines import Precision, Sidecar, find_engine, read_plan, shape_of
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.errors import DeviceError, EngineError

DTYPES = {"UINT8": "uint8", "INT32": "int32", "FLOAT": "float32"}
MAX_SLOTS = 8  # execution contexts of an engine that are kept, each for one set of shapes
logger = logging.getLogger(__name__)


def load_engine(bundle: Path, name: str, entry: GraphEntry, precision: Precision, device: int) -> TrtGraph:
    """Loads a bundle's engine of a graph for a GPU.

    Args:
        bundle: its folder.
        name: of the graph in the manifest.
        entry: its manifest entry.
        precision: of the engine.
        device: CUDA's number of the GPU.

    Raises:
        MissingExtraError: tensorrt or cuda-python is not installed.
        DeviceError: the GPU cannot be used.
        EngineError: there is no such engine, or it must not be trusted, or TensorRT refuses it.
    """
    target, _ = target_of(device)
    folder, sidecar = find_engine(bundle, name, entry, precision, target)
    return TrtGraph(read_plan(folder, sidecar), sidecar, entry, device)


@dataclass(frozen=True, eq=False)
class Transfer:
    """An input or output of one run.

    Attributes:
        value: an array on the host, or a tensor on the engine's GPU.
        staging: pinned memory between an array and the GPU; None for a tensor there.
    """

    value: NDArray[Any] | CudaTensor
    staging: PinnedMemory | None

    @property
    def pointer(self) -> int:
        """Where the GPU reads or writes it."""
        if isinstance(self.value, CudaTensor):
            return self.value.pointer
        assert self.staging is not None
        return self.staging.pointer


class TrtGraph:
    """One TensorRT engine on a stream of its own.

    Batches are padded to the smallest profile that holds them, and split where they exceed the largest.
    """

    def __init__(
        self, plan: bytes, sidecar: Sidecar, entry: GraphEntry, device: int = 0, *, cuda_graphs: bool = True
    ) -> None:
        """Loads an engine.

        Args:
            plan: the engine; that it may be trusted is the caller's to check (wordmask.bundle.engines.read_plan).
            sidecar: what the plan was built for.
            entry: the graph's manifest entry.
            device: CUDA's number of the GPU.
            cuda_graphs: launch all kernels of a run at once from the second run at the same shapes on.

        Raises:
            MissingExtraError: tensorrt or cuda-python is not installed.
            DeviceError: the GPU cannot be used.
            EngineError: TensorRT refuses the plan, or it is not the engine of this graph.
        """
        trt = import_tensorrt()
        self._gpu = Gpu(device)
        self._name = sidecar.request.graph
        self._entry = entry
        self._engine = _deserialize(trt, plan, sidecar)
        _check_interface(self._engine, entry, sidecar)
        self._buckets = Buckets(self._name, entry, sidecar.request.profiles)
        self._strategy = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        self._cuda_graphs = cuda_graphs
        self._stream = Stream(self._gpu)
        self._pool = Pool(self._gpu)
        self._activations: DeviceMemory | None = None
        self._slots: OrderedDict[tuple[int, tuple[tuple[str, int], ...]], ExecutionSlot] = OrderedDict()
        self._staging = PinnedPool(self._gpu)
        self._lock = threading.Lock()
        self._cancelled = False

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph: the largest profile's."""
        return self._buckets.largest

    def cancel(self) -> None:
        """See wordmask.backends.Graph."""
        self._cancelled = True

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph.

        Raises:
            EngineError: the engine was not built for these sizes.
            DeviceError: CUDA or TensorRT fails, or the graph was cancelled.
        """
        sizes = self._buckets.sizes(inputs)
        self._gpu.use()
        sources = {tensor.name: self._source(tensor.name, inputs[tensor.name]) for tensor in self._entry.inputs}
        targets = {tensor.name: self._target(tensor, sizes, keep) for tensor in self._entry.outputs}
        done = Event(self._gpu)
        with self._lock:  # queues alone: copies and waits of one run do not hold up the next
            try:
                self._queue(self._buckets.row_ranges(sizes), sources, targets)
                self._stream.record(done)
            except BaseException:
                self._stream.synchronize()  # before the memory of this run is freed
                raise
        if any(target.staging for target in targets.values()) or any(not source.staging for source in sources.values()):
            done.synchronize()  # outputs are on the host, and the caller may now drop the tensors that were read
        for target in targets.values():
            if target.staging is not None and isinstance(target.value, np.ndarray):
                _bytes(target.value)[:] = target.staging.bytes[: target.value.nbytes]
        for name, transfer in (*sources.items(), *targets.items()):
            if transfer.staging is not None:
                self._staging.give(name, transfer.staging, done)
        outputs = {name: target.value for name, target in targets.items()}
        check_finite(self._name, outputs)
        return {**outputs}

    def _source(self, name: str, value: Value) -> Transfer:
        if isinstance(value, CudaTensor) and value.gpu.index == self._gpu.index:
            return Transfer(value, None)
        array = np.ascontiguousarray(to_host(value))
        staging = self._staging.take(name, array.nbytes)
        staging.bytes[: array.nbytes] = _bytes(array)
        return Transfer(array, staging)

    def _target(self, tensor: Tensor, sizes: dict[str, int], keep: Collection[str]) -> Transfer:
        shape = shape_of(tensor, sizes)
        if tensor.name in keep:
            return Transfer(self._pool.tensor(shape, tensor.dtype), None)
        array = np.empty(shape, tensor.dtype)
        return Transfer(array, self._staging.take(tensor.name, array.nbytes))

    def _queue(
        self, ranges: Iterable[RowRange], sources: Mapping[str, Transfer], targets: Mapping[str, Transfer]
    ) -> None:
        """Queues copies to the GPU, runs and copies back of all rows."""
        for rows in ranges:
            if self._cancelled:
                raise DeviceError(f"{self._name}: cancelled")
            slot = self._slot(rows)
            for tensor in self._entry.inputs:
                self._feed(slot.buffers[tensor.name], tensor, sources[tensor.name], rows)
            slot.execute()
            for tensor in self._entry.outputs:
                result, target = slot.buffers[tensor.name].pointer, targets[tensor.name]
                first, size = self._span(tensor, target.value, rows)
                copy = self._stream.within_device if target.staging is None else self._stream.to_host
                copy(target.pointer + first, result, size)
        for target in targets.values():
            if isinstance(target.value, CudaTensor):
                self._stream.record(target.value.ready)

    def _feed(self, buffer: DeviceMemory, tensor: Tensor, source: Transfer, rows: RowRange) -> None:
        """Queues the copy of a range of rows into a buffer; rows that pad it are zero."""
        first, size = self._span(tensor, source.value, rows)
        if isinstance(source.value, CudaTensor):
            self._stream.wait(source.value.ready)
            self._stream.within_device(buffer.pointer, source.pointer + first, size)
        else:
            self._stream.to_device(buffer.pointer, source.pointer + first, size)
        if size < buffer.size:
            self._stream.zero(buffer.pointer + size, buffer.size - size)

    def _span(self, tensor: Tensor, value: Value, rows: RowRange) -> tuple[int, int]:
        """Offset and size, in bytes, of a range of rows in a tensor; all of it if it has no rows."""
        if not self._buckets.has_rows(tensor):
            return 0, int(np.prod(value.shape, dtype=np.int64)) * value.dtype.itemsize
        row = int(np.prod(value.shape[1:], dtype=np.int64)) * value.dtype.itemsize
        return rows.start * row, (rows.stop - rows.start) * row

    def _slot(self, rows: RowRange) -> ExecutionSlot:
        key = rows.profile, rows.sizes
        slot = self._slots.pop(key, None)
        if slot is None:
            if len(self._slots) >= MAX_SLOTS:
                self._stream.synchronize()  # its last run may not be done
                self._slots.popitem(last=False)
            if self._activations is None:
                self._activations = DeviceMemory(self._gpu, self._engine.device_memory_size_v2)
            slot = ExecutionSlot(
                self._gpu,
                self._engine,
                self._entry,
                rows,
                self._stream,
                self._activations,
                strategy=self._strategy,
                cuda_graphs=self._cuda_graphs,
            )
        self._slots[key] = slot  # the last one used comes last
        return slot


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The array's bytes in C order; a view unless it lies otherwise."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


@once
def _runtime(trt: Any) -> Any:
    """TensorRT's runtime, one a process; its messages go to the log."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            levels = {"INTERNAL_ERROR": logging.ERROR, "ERROR": logging.ERROR, "WARNING": logging.WARNING}
            logger.log(levels.get(severity.name, logging.DEBUG), "TensorRT: %s", message)

    return trt.Runtime(Logger())


def _deserialize(trt: Any, plan: bytes, sidecar: Sidecar) -> Any:
    engine = _runtime(trt).deserialize_cuda_engine(plan)
    if engine is None:
        request = sidecar.request
        raise EngineError(
            f"{request.graph}: TensorRT {trt.__version__} refuses the engine, which was built with TensorRT "
            f"{request.target.tensorrt} on {sidecar.gpu} ({request.target.architecture}): they may not fit this GPU "
            "and its driver, or its memory is used up; `wordmask engines` builds it again where it cannot be loaded"
        )
    return engine


def _check_interface(engine: Any, entry: GraphEntry, sidecar: Sidecar) -> None:
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    found = {name: DTYPES.get(engine.get_tensor_dtype(name).name, "another type") for name in names}
    expected = {tensor.name: tensor.dtype for tensor in (*entry.inputs, *entry.outputs)}
    profiles = len(sidecar.request.profiles)
    if found != expected or engine.num_optimization_profiles != profiles:
        raise EngineError(
            f"{sidecar.request.graph}: its engine has {found} and {engine.num_optimization_profiles} profiles, "
            f"expected {expected} and {profiles}; `wordmask engines` builds it again"
        )
