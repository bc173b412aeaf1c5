"""Memory, streams, events and captured graphs of a GPU. Each is freed with its last reference."""

from __future__ import annotations

import ctypes
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends.tensorrt.cuda import Gpu, recording
from wordmask.errors import DeviceError


class DeviceMemory:
    """A block in the GPU's memory."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        """Args: size is in bytes. Raises: DeviceError: there is not enough."""
        self.size = size
        self.pointer: int = gpu.call("cudaMalloc", max(size, 1))
        weakref.finalize(self, gpu.release, "cudaFree", self.pointer)


class PinnedMemory:
    """A block in the host's memory that the GPU can read and write by itself."""

    def __init__(self, gpu: Gpu, size: int) -> None:
        """Args: size is in bytes. Raises: DeviceError: there is not enough."""
        self.size = size
        self.pointer: int = gpu.call("cudaHostAlloc", max(size, 1), gpu.runtime.cudaHostAllocDefault)
        self.bytes: NDArray[np.uint8] = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.pointer))
        weakref.finalize(self, gpu.release, "cudaFreeHost", self.pointer)


class Event:
    """A point in a stream that others can wait for."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.handle = gpu.call("cudaEventCreateWithFlags", gpu.runtime.cudaEventDisableTiming)
        weakref.finalize(self, gpu.release, "cudaEventDestroy", self.handle)

    def synchronize(self) -> None:
        """Waits, on the host, until it has happened; returns at once if it was never recorded."""
        self._gpu.call("cudaEventSynchronize", self.handle)


class CapturedGraph:
    """Work of a stream, recorded to be launched as a whole."""

    def __init__(self, gpu: Gpu, graph: Any) -> None:
        """Args: graph is a cudaGraph_t, which is given back."""
        try:
            self.handle = gpu.call("cudaGraphInstantiate", graph, 0)
        finally:
            gpu.release("cudaGraphDestroy", graph)
        weakref.finalize(self, gpu.release, "cudaGraphExecDestroy", self.handle)


class Stream:
    """A queue of work on the GPU. It waits for another queue only on `wait`."""

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self.handle = gpu.call("cudaStreamCreateWithFlags", gpu.runtime.cudaStreamNonBlocking)
        weakref.finalize(self, gpu.release, "cudaStreamDestroy", self.handle)

    def to_device(self, target: int, source: int, size: int) -> None:
        """Copies bytes from pinned memory, which must stay as it is until then."""
        self._copy(target, source, size, "cudaMemcpyHostToDevice")

    def to_host(self, target: int, source: int, size: int) -> None:
        """Copies bytes to pinned memory."""
        self._copy(target, source, size, "cudaMemcpyDeviceToHost")

    def within_device(self, target: int, source: int, size: int) -> None:
        """Copies bytes from the GPU's memory to the GPU's memory."""
        self._copy(target, source, size, "cudaMemcpyDeviceToDevice")

    def _copy(self, target: int, source: int, size: int, kind: str) -> None:
        direction = getattr(self._gpu.runtime.cudaMemcpyKind, kind)
        self._gpu.call("cudaMemcpyAsync", target, source, size, direction, self.handle)

    def zero(self, target: int, size: int) -> None:
        """Sets bytes of the GPU's memory to zero."""
        self._gpu.call("cudaMemsetAsync", target, 0, size, self.handle)

    def record(self, event: Event) -> None:
        """Moves the event to here: it happens when all work so far is done."""
        self._gpu.call("cudaEventRecord", event.handle, self.handle)

    def wait(self, event: Event) -> None:
        """Lets later work wait for the event."""
        self._gpu.call("cudaStreamWaitEvent", self.handle, event.handle, 0)

    def synchronize(self) -> None:
        """Waits until all work is done."""
        self._gpu.call("cudaStreamSynchronize", self.handle)

    def launch(self, graph: CapturedGraph) -> None:
        """Queues captured work."""
        self._gpu.call("cudaGraphLaunch", graph.handle, self.handle)

    def capture(self, enqueue: Callable[[], None]) -> CapturedGraph:
        """Records what `enqueue` queues here; nothing of it is done yet.

        Raises:
            DeviceError: something in it cannot be captured.
        """
        # other threads may go on allocating
        mode = self._gpu.runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        with recording():
            self._gpu.call("cudaStreamBeginCapture", self.handle, mode)
            try:
                enqueue()
            except BaseException:
                self._abandon()
                raise
            graph = self._gpu.call("cudaStreamEndCapture", self.handle)
        return CapturedGraph(self._gpu, graph)

    def _abandon(self) -> None:
        try:
            self._gpu.release("cudaGraphDestroy", self._gpu.call("cudaStreamEndCapture", self.handle))
        except DeviceError:  # the capture was already broken, which ends it just the same
            return


class CudaTensor:
    """A tensor in the GPU's memory; see wordmask.backends.DeviceTensor."""

    def __init__(self, gpu: Gpu, memory: DeviceMemory, ready: Event, shape: tuple[int, ...], dtype: str) -> None:
        self.gpu = gpu
        self.pointer = memory.pointer
        self.ready = ready
        self._shape = shape
        self._dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """See DeviceTensor."""
        return self._shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """See DeviceTensor."""
        return self._dtype

    def wait(self) -> None:
        """Waits until it holds its values."""
        self.gpu.use()
        self.ready.synchronize()

    def numpy(self) -> NDArray[Any]:
        """See DeviceTensor."""
        self.wait()
        array = np.empty(self._shape, self._dtype)
        direction = self.gpu.runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self.gpu.call("cudaMemcpy", array.ctypes.data, self.pointer, array.nbytes, direction)
        return array


class PinnedPool:
    """Pinned memory for an engine's inputs and outputs, of which each run under way has its own.

    A block is used again once the work that read or wrote it is done. There are as many as runs were under way at once.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._free: dict[str, deque[tuple[PinnedMemory, Event]]] = {}

    def take(self, name: str, size: int) -> PinnedMemory:
        """A block of at least that many bytes for the tensor of this name."""
        try:  # any thread may take what is there, so it is not asked first
            block, done = self._free.setdefault(name, deque()).popleft()
        except IndexError:
            return PinnedMemory(self._gpu, size)
        done.synchronize()
        return block if block.size >= size else PinnedMemory(self._gpu, size)

    def give(self, name: str, block: PinnedMemory, done: Event) -> None:
        """Takes a block back, which may be used again after the event."""
        self._free[name].append((block, done))


class Pool:
    """Memory for the tensors that one stream writes; what is dropped is used again.

    The next owner's values are queued on the same stream, so they cannot overtake the former's. Who reads a tensor
    on another stream holds it until that is done.
    """

    def __init__(self, gpu: Gpu) -> None:
        self._gpu = gpu
        self._free: dict[int, deque[tuple[DeviceMemory, Event]]] = {}

    def tensor(self, shape: tuple[int, ...], dtype: str) -> CudaTensor:
        """A tensor that holds nothing yet; its event has to be recorded once it does."""
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        free = self._free.setdefault(size, deque())
        try:  # finalizers append from any thread, so it is not asked first
            block = free.pop()
        except IndexError:
            block = DeviceMemory(self._gpu, size), Event(self._gpu)
        tensor = CudaTensor(self._gpu, *block, shape, dtype)
        weakref.finalize(tensor, free.append, block).atexit = False
        return tensor
