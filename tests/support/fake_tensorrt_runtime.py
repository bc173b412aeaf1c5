"""A fake of tensorrt's runtime: engines that compute a Python function over the fake GPU's memory.

It insists on what TensorRT insists on: memory, profile, shapes and addresses are set; shapes lie in the profile; a run
came before a capture; and a context that was captured keeps its shapes.
"""

# ruff: noqa: N802 (names are TensorRT's)
from __future__ import annotations

import ctypes
import hashlib
import sys
import types
from types import SimpleNamespace

import numpy as np

from wordmask.bundle.engines import PLAN, SCHEMA, Request, Sidecar, Target, shape_of
from wordmask.bundle.manifest import File

VERSION = "11.4.0.106"
TARGET = Target(VERSION, "sm_90")
TYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FLOAT"}
ACTIVATIONS = 1000


class Context:
    def __init__(self, engine):
        self.engine, self.profile, self.shapes, self.addresses = engine, 0, {}, {}
        self.memory, self.ran, self.captured = None, False, False

    def set_device_memory(self, pointer, size):
        assert size >= self.engine.device_memory_size_v2
        self.memory = pointer

    def set_optimization_profile_async(self, profile, stream):
        self.profile, self.shapes = profile, {}
        return 0 <= profile < self.engine.num_optimization_profiles

    def set_input_shape(self, name, shape):
        assert not self.captured
        tensor = next(tensor for tensor in self.engine.entry.inputs if tensor.name == name)
        ranges = self.engine.profiles[self.profile]
        for size, actual in zip(tensor.shape, shape, strict=True):
            if isinstance(size, str) and not ranges[size].minimum <= actual <= ranges[size].maximum:
                return False
        self.shapes[name] = tuple(shape)
        return True

    def sizes(self):
        return {
            size: actual
            for tensor in self.engine.entry.inputs
            for size, actual in zip(tensor.shape, self.shapes[tensor.name], strict=True)
            if isinstance(size, str)
        }

    def get_tensor_shape(self, name):
        return shape_of(self.engine.tensor(name), self.sizes())

    def set_tensor_address(self, name, pointer):
        self.addresses[name] = pointer
        self.engine.trt.names[pointer] = f"{self.engine.name}.{name}"
        return True

    def execute_async_v3(self, stream_handle):
        trt, cuda = self.engine.trt, self.engine.trt.cuda
        assert self.memory in cuda.memory
        stream = cuda.streams[stream_handle]
        self.engine.during_run()
        if self.engine.refuses:
            return False
        if stream.captured is not None:
            trt.captures.append((self.engine.name, self.profile, self.sizes()))
            if not self.ran or not trt.capturable:
                return False
            self.captured = True
        trt.enqueued.append((self.engine.name, self.profile, self.sizes()))
        self.ran = True
        stream.add(self.compute)
        return True

    def compute(self):
        entry, cuda = self.engine.entry, self.engine.trt.cuda
        inputs = {t.name: self.array(cuda, t, self.shapes[t.name]) for t in entry.inputs}
        outputs = self.engine.function({name: value.copy() for name, value in inputs.items()})
        for tensor in entry.outputs:
            shape = self.get_tensor_shape(tensor.name)
            assert outputs[tensor.name].shape == shape
            self.array(cuda, tensor, shape)[:] = outputs[tensor.name]

    def array(self, cuda, tensor, shape):
        size = int(np.prod(shape)) * np.dtype(tensor.dtype).itemsize
        address = cuda.block(self.addresses[tensor.name], size, "device")
        return np.frombuffer((ctypes.c_uint8 * size).from_address(address), tensor.dtype).reshape(shape)


class Engine:
    device_memory_size_v2 = ACTIVATIONS

    def __init__(self, trt, name, entry, profiles, function):
        self.trt, self.name, self.entry, self.profiles, self.function = trt, name, entry, profiles, function
        self.refuses, self.during_run = False, lambda: None
        self.tensors = (*entry.inputs, *entry.outputs)
        self.num_io_tensors, self.num_optimization_profiles = len(self.tensors), len(profiles)

    def tensor(self, name):
        return next(tensor for tensor in self.tensors if tensor.name == name)

    def get_tensor_name(self, index):
        return self.tensors[index].name

    def get_tensor_dtype(self, name):
        return SimpleNamespace(name=TYPES[self.tensor(name).dtype])

    def create_execution_context(self, strategy):
        assert strategy == "user"
        self.trt.contexts.append(self.name)
        return Context(self) if self.trt.gives_contexts else None


class ILogger:
    pass


class FakeTensorRT(types.ModuleType):
    """The module. A plan is the name of an engine that `add` made known.

    `contexts`, `enqueued` and `captures` record what engines were asked for, `names` whose addresses are whose.
    """

    __version__ = VERSION
    ILogger = ILogger
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED="user")

    def __init__(self, cuda):
        super().__init__("tensorrt")
        self.cuda, self.known, self.capturable, self.gives_contexts = cuda, {}, True, True
        self.contexts, self.enqueued, self.captures, self.names = [], [], [], {}

    def install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorrt", self)

    def Runtime(self, logger):
        assert isinstance(logger, ILogger)
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: self.known.get(plan.decode()))

    def add(self, name, entry, profiles, function):
        """Makes an engine known; gives its plan and sidecar."""
        self.known[name] = Engine(self, name, entry, profiles, function)
        plan = name.encode()
        request = Request(name, entry.sha256, "fp16", profiles, TARGET)
        facts = File(PLAN, hashlib.sha256(plan).hexdigest(), len(plan))
        return plan, Sidecar(SCHEMA, request, facts, "Fake GPU", {"HALF": 1}, 1.0)
