"""One execution context of a TensorRT engine at fixed shapes, with its buffers and its captured CUDA graph.

NVIDIA advises one context a captured graph: to change a context's shapes makes the graphs captured from it invalid. The
contexts of one engine share the memory of their activations, as they never run at the same time.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from wordmask.backends.tensorrt.buckets import RowRange
from wordmask.backends.tensorrt.cuda import Gpu, GpuMemoryError
from wordmask.backends.tensorrt.cuda_memory import CapturedGraph, DeviceMemory, Stream
from wordmask.bundle.manifest import GraphEntry
from wordmask.errors import DeviceError, EngineError

logger = logging.getLogger(__name__)


class ExecutionSlot:
    """An execution context for one profile at one set of shapes. Not safe for threads."""

    def __init__(
        self,
        gpu: Gpu,
        engine: Any,
        entry: GraphEntry,
        rows: RowRange,
        stream: Stream,
        activations: DeviceMemory,
        *,
        strategy: Any,
        cuda_graphs: bool,
    ) -> None:
        """Makes a context and its buffers.

        Args:
            gpu: this thread's current one.
            engine: a tensorrt.ICudaEngine.
            entry: its graph.
            rows: names the profile and the shapes.
            stream: on which it will run.
            activations: of the engine's device_memory_size_v2; slots that share it must not run at the same time.
            strategy: tensorrt.ExecutionContextAllocationStrategy.USER_MANAGED.
            cuda_graphs: capture the second run, and replay it from then on.

        Raises:
            GpuMemoryError: not enough memory.
            EngineError: the engine does not take the shapes.
        """
        self._name = entry.file
        self._stream = stream
        self._context = engine.create_execution_context(strategy)
        if self._context is None:
            raise GpuMemoryError(f"{self._name}: TensorRT gives no execution context; is the GPU's memory used up?")
        self._context.set_device_memory(activations.pointer, activations.size)
        if not self._context.set_optimization_profile_async(rows.profile, int(stream.handle)):
            raise EngineError(f"{self._name}: its engine has no profile {rows.profile}; run `wordmask engines` again")
        for tensor in entry.inputs:
            if not self._context.set_input_shape(tensor.name, rows.shape(tensor)):
                raise EngineError(f"{self._name}: its engine refuses {tensor.name} {rows.shape(tensor)}")
        self.buffers: dict[str, DeviceMemory] = {}
        for tensor in (*entry.inputs, *entry.outputs):
            shape = rows.shape(tensor)
            found = tuple(self._context.get_tensor_shape(tensor.name))
            if found != shape:
                raise EngineError(f"{self._name}: its engine gives {tensor.name} {found}, expected {shape}")
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
            self.buffers[tensor.name] = buffer = DeviceMemory(gpu, size)
            if not self._context.set_tensor_address(tensor.name, buffer.pointer):
                raise EngineError(f"{self._name}: its engine takes no memory for {tensor.name}")
        self._capturable = cuda_graphs
        self._warm = False
        self._captured: CapturedGraph | None = None

    def execute(self) -> None:
        """Queues one run over the buffers.

        Raises:
            DeviceError: TensorRT or CUDA fails.
        """
        if self._captured is None and self._warm and self._capturable:
            self._capture()
        if self._captured is not None:
            self._stream.launch(self._captured)
        else:
            self._enqueue()  # the first run also does what cannot be captured
            self._warm = True

    def _capture(self) -> None:
        try:
            self._captured = self._stream.capture(self._enqueue)
        except DeviceError as error:
            self._capturable = False
            logger.warning("%s: no CUDA graph (%s): its kernels are launched one by one", self._name, str(error))

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._stream.handle)):
            raise DeviceError(f"{self._name}: TensorRT could not run its engine; its log says why")
