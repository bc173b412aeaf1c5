"""A fake of cuda.bindings.runtime that does what CUDA promises, and no more.

Memory is the host's. Work is queued on a stream and done only when somebody has to wait for it, as late as CUDA
allows: who forgets to wait, or writes a buffer too early, reads wrong numbers.
"""

# ruff: noqa: N802, N815 (names are CUDA's and TensorRT's)
from __future__ import annotations

import ctypes
import enum
import sys
import threading
import types
from collections import deque
from types import SimpleNamespace


class Status(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorInvalidValue = 1
    cudaErrorMemoryAllocation = 2
    cudaErrorInvalidDevice = 101
    cudaErrorInvalidResourceHandle = 400
    cudaErrorIllegalAddress = 700
    cudaErrorLaunchFailure = 719
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorStreamCaptureInvalidated = 901


# Functions that answer with a value beside the status. All others answer with the status alone.
WITH_VALUE = {
    *("cudaGetDeviceProperties", "cudaGetErrorName", "cudaGetErrorString", "cudaMalloc", "cudaHostAlloc"),
    *("cudaStreamCreateWithFlags", "cudaEventCreateWithFlags", "cudaStreamEndCapture", "cudaGraphInstantiate"),
}
# Functions that a thread must not call while it records a stream: the recording breaks.
NOT_WHILE_CAPTURING = {
    *("cudaMalloc", "cudaFree", "cudaHostAlloc", "cudaFreeHost", "cudaMemcpy", "cudaStreamSynchronize"),
    *("cudaEventSynchronize", "cudaStreamDestroy", "cudaEventDestroy", "cudaGraphExecDestroy"),
}


class Handle:
    """Something with a number, as cudaStream_t has one."""

    numbers = iter(range(1, 1 << 30))

    def __init__(self):
        self.number = next(self.numbers)

    def __int__(self):
        return self.number


class Stream(Handle):
    def __init__(self):
        super().__init__()
        self.queue, self.queued, self.done, self.captured = deque(), 0, 0, None
        self.broken = False

    def add(self, work):
        if self.captured is not None:
            self.captured.append(work)
        else:
            self.queue.append(work)
            self.queued += 1

    def drain(self, upto=None):
        """Does the queued work, up to its `upto`-th piece."""
        while self.done < (self.queued if upto is None else upto):
            work = self.queue.popleft()
            work()
            self.done += 1


class Event(Handle):
    stream, reached = None, 0

    def wait(self):
        if self.stream is not None:
            self.stream.drain(self.reached)


class FakeCuda(types.ModuleType):
    """The module. `live` has what was not given back; `calls` the names of all calls; `to_host` bytes copied back.

    `sources` has the addresses that were copied from.
    """

    cudaError_t = Status
    cudaHostAllocDefault, cudaEventDisableTiming, cudaStreamNonBlocking = 0, 2, 1
    cudaMemcpyKind = SimpleNamespace(
        cudaMemcpyHostToDevice="up", cudaMemcpyDeviceToHost="down", cudaMemcpyDeviceToDevice="on"
    )
    cudaStreamCaptureMode = SimpleNamespace(
        cudaStreamCaptureModeThreadLocal="thread", cudaStreamCaptureModeGlobal="all"
    )

    def __init__(self, gpus=1, capacity=1 << 40):
        super().__init__("cuda.bindings.runtime")
        self.gpus, self.capacity = gpus, capacity
        self.live, self.calls, self.to_host, self.failures = {}, [], [], {}
        self.memory, self.streams, self.waits, self.sources = {}, {}, [], []
        self.capturing, self.while_capturing = {}, []  # stream by thread; the names of calls that broke a recording
        self.capture_breaks = False
        self.current = threading.local()
        self.lock = threading.RLock()

    def fail(self, name, status, after=0):
        """Makes a function fail once, after so many good calls."""
        self.failures[name] = [status, after]

    def __getattribute__(self, name):
        if not name.startswith("cuda") or name[4:5].islower() or not callable(super().__getattribute__(name)):
            return super().__getattribute__(name)
        function = super().__getattribute__(name)

        def call(*arguments):
            with self.lock:
                self.calls.append(name)
                answer = self._failure(name) or function(*arguments)
                assert len(answer) == (2 if name in WITH_VALUE else 1)
                return answer

        return function if name == "cudaError_t" else call

    def _failure(self, name):
        """The answer of a call that fails; None if it does not."""
        status = None
        recorded = self.capturing.get(threading.get_ident())
        if recorded is not None and name in NOT_WHILE_CAPTURING:
            self.while_capturing.append(name)
            recorded.broken, status = True, Status.cudaErrorStreamCaptureUnsupported
        elif name in self.failures:
            self.failures[name][1] -= 1
            if self.failures[name][1] < 0:
                status, _ = self.failures.pop(name)
        return None if status is None else (status, None) if name in WITH_VALUE else (status,)

    def install(self, monkeypatch):
        """Makes `from cuda.bindings import runtime` give this."""
        cuda, bindings = types.ModuleType("cuda"), types.ModuleType("cuda.bindings")
        cuda.bindings, bindings.runtime = bindings, self
        for name, module in (("cuda", cuda), ("cuda.bindings", bindings), ("cuda.bindings.runtime", self)):
            monkeypatch.setitem(sys.modules, name, module)

    # what the tests ask

    def kinds(self):
        """How many of each kind of resource are held."""
        return {kind: list(self.live.values()).count(kind) for kind in set(self.live.values())}

    def block(self, pointer, size, kind):
        """Checks that bytes lie in a live block of a kind; gives their address."""
        for start, (buffer, held) in self.memory.items():
            if start <= pointer and pointer + size <= start + len(buffer):
                assert held == kind, f"{held} memory where {kind} memory is expected"
                return pointer
        raise AssertionError(f"{size} bytes at {pointer:#x} are in no live block of {kind} memory")

    # devices and errors

    def cudaSetDevice(self, index):
        if not 0 <= index < self.gpus:
            return (Status.cudaErrorInvalidDevice,)
        self.current.index = index
        return (Status.cudaSuccess,)

    def cudaGetDeviceProperties(self, index):
        if not 0 <= index < self.gpus:
            return (Status.cudaErrorInvalidDevice, None)
        return Status.cudaSuccess, SimpleNamespace(major=9, minor=0, name=b"Fake GPU")

    def cudaGetErrorName(self, status):
        return Status.cudaSuccess, status.name.encode()

    def cudaGetErrorString(self, status):
        return Status.cudaSuccess, f"the reason of {int(status)}".encode()

    def cudaGetLastError(self):
        return (Status.cudaSuccess,)

    # memory

    def _allocate(self, size, kind):
        assert getattr(self.current, "index", None) is not None, "no GPU was chosen in this thread"
        if sum(len(buffer) for buffer, held in self.memory.values() if held == kind) + size > self.capacity:
            return Status.cudaErrorMemoryAllocation, None
        buffer = (ctypes.c_uint8 * size)()
        ctypes.memset(buffer, 0xFF, size)  # fresh memory holds anything: NaN
        pointer = ctypes.addressof(buffer)
        self.memory[pointer] = buffer, kind
        self.live[pointer] = kind
        return Status.cudaSuccess, pointer

    def _free(self, pointer, kind):
        assert self.memory[pointer][1] == kind
        for stream in self.streams.values():
            stream.drain()  # both kinds wait for all work
        del self.memory[pointer], self.live[pointer]
        return (Status.cudaSuccess,)

    def cudaMalloc(self, size):
        return self._allocate(size, "device")

    def cudaFree(self, pointer):
        return self._free(pointer, "device")

    def cudaHostAlloc(self, size, flags):
        return self._allocate(size, "pinned")

    def cudaFreeHost(self, pointer):
        return self._free(pointer, "pinned")

    def cudaMemcpyAsync(self, target, source, size, kind, stream):
        target_kind, source_kind = {"up": ("device", "pinned"), "down": ("pinned", "device"), "on": ("device",) * 2}[
            kind
        ]
        self.block(target, size, target_kind)
        self.block(source, size, source_kind)
        if kind == "down":
            self.to_host.append(size)
            self.sources.append(source)

        def work():
            ctypes.memmove(self.block(target, size, target_kind), self.block(source, size, source_kind), size)

        stream.add(work)
        return (Status.cudaSuccess,)

    def cudaMemcpy(self, target, source, size, kind):
        assert kind == "down"
        self.to_host.append(size)
        ctypes.memmove(target, self.block(source, size, "device"), size)
        return (Status.cudaSuccess,)

    def cudaMemsetAsync(self, target, value, size, stream):
        self.block(target, size, "device")
        stream.add(lambda: ctypes.memset(self.block(target, size, "device"), value, size))
        return (Status.cudaSuccess,)

    # streams and events

    def cudaStreamCreateWithFlags(self, flags):
        assert flags == self.cudaStreamNonBlocking
        stream = Stream()
        self.streams[int(stream)] = stream
        self.live[stream] = "stream"
        return Status.cudaSuccess, stream

    def cudaStreamDestroy(self, stream):
        stream.drain()
        del self.streams[int(stream)], self.live[stream]
        return (Status.cudaSuccess,)

    def cudaStreamSynchronize(self, stream):
        stream.drain()
        return (Status.cudaSuccess,)

    def cudaEventCreateWithFlags(self, flags):
        event = Event()
        self.live[event] = "event"
        return Status.cudaSuccess, event

    def cudaEventDestroy(self, event):
        del self.live[event]
        return (Status.cudaSuccess,)

    def cudaEventRecord(self, event, stream):
        event.stream, event.reached = stream, stream.queued
        return (Status.cudaSuccess,)

    def cudaEventSynchronize(self, event):
        event.wait()
        return (Status.cudaSuccess,)

    def cudaStreamWaitEvent(self, stream, event, flags):
        source, reached = event.stream, event.reached
        self.waits.append((stream, source))
        stream.add(lambda: source.drain(reached))
        return (Status.cudaSuccess,)

    # captured graphs

    def cudaStreamBeginCapture(self, stream, mode):
        assert mode == "thread", "a capture must not forbid other threads to allocate"
        assert stream.captured is None
        stream.captured, stream.broken = [], self.capture_breaks
        self.capturing[threading.get_ident()] = stream
        return (Status.cudaSuccess,)

    def cudaStreamEndCapture(self, stream):
        work, stream.captured = stream.captured, None
        assert self.capturing.pop(threading.get_ident()) is stream, "a recording must end on the thread that began it"
        if stream.broken:
            return Status.cudaErrorStreamCaptureInvalidated, None
        graph = Handle()
        graph.work = work
        self.live[graph] = "graph"
        return Status.cudaSuccess, graph

    def cudaGraphInstantiate(self, graph, flags):
        executable = Handle()
        executable.work = graph.work
        self.live[executable] = "executable"
        return Status.cudaSuccess, executable

    def cudaGraphDestroy(self, graph):
        del self.live[graph]
        return (Status.cudaSuccess,)

    def cudaGraphExecDestroy(self, executable):
        del self.live[executable]
        return (Status.cudaSuccess,)

    def cudaGraphLaunch(self, executable, stream):
        assert executable in self.live
        for work in executable.work:
            stream.add(work)
        return (Status.cudaSuccess,)
