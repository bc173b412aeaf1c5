"""A stand-in for the modules `tensorrt` and `cuda.bindings.runtime`: records calls, fails in each documented way.

It reads the real ONNX, so that interfaces are the graph's own; what it "builds" is a hash.
"""

from __future__ import annotations

import enum
import hashlib
import importlib.machinery
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import onnx

ELEMENTS = {1: "FLOAT", 2: "UINT8", 6: "INT32"}
HALF_LAYERS = (("conv", "CONVOLUTION", "HALF", (1, 64)), ("norm", "NORMALIZATION", "FLOAT", (1, 64)))


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


@dataclass
class Fake:
    """How the fake behaves, and what was asked of it.

    Attributes:
        version: of TensorRT; before 11 networks are weakly typed without a flag.
        layers: name, type, output type and input shape of the network's layers, constants apart.
        parse_error: node name, operator and description; the parser fails with it.
        build_error: the builder logs it and gives None.
        load_error: the runtime logs it and gives None.
        start_error: the builder cannot be made.
        refuses_profiles: config.add_optimization_profile gives -1.
        gpus: compute capabilities of this machine's GPUs.
        during_build: is called with the progress monitor while "building"; False cancels.
        builds: a record for each network built.
    """

    version: str = "11.4.0.106"
    layers: tuple[tuple[str, str, str, tuple[int, ...]], ...] = HALF_LAYERS
    parse_error: tuple[str, str, str] | None = None
    build_error: str | None = None
    load_error: str | None = None
    start_error: str | None = None
    refuses_profiles: bool = False
    gpus: tuple[tuple[int, int], ...] = ((9, 0),)
    during_build: Callable[[Any], bool] = lambda monitor: True
    builds: list[dict[str, Any]] = field(default_factory=list)

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])

    def install(self, monkeypatch: Any) -> Fake:
        """Makes `import tensorrt` and `from cuda.bindings import runtime` give the fakes."""
        bindings = _module("cuda.bindings", runtime=_cuda_runtime(self))
        modules = {
            "tensorrt": _tensorrt(self),
            "cuda": _module("cuda", bindings=bindings),
            "cuda.bindings": bindings,
            "cuda.bindings.runtime": bindings.runtime,
        }
        for name, module in modules.items():
            monkeypatch.setitem(sys.modules, name, module)
        return self


def _module(name: str, **members: Any) -> Any:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    module.__dict__.update(members)
    return module


def _named(name: str) -> Any:
    return types.SimpleNamespace(name=name)


class Tensor:
    def __init__(self, value: Any) -> None:
        kind = value.type.tensor_type
        self.name = value.name
        self.dtype = _named(ELEMENTS[kind.elem_type])
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)


class Layer:
    num_outputs = 1

    def __init__(self, name: str, kind: str, dtype: str, shape: tuple[int, ...]) -> None:
        self.name, self.type = name, _named(kind)
        self._output, self._input = types.SimpleNamespace(dtype=_named(dtype)), types.SimpleNamespace(shape=shape)

    def get_output(self, index: int) -> Any:
        return self._output

    def get_input(self, index: int) -> Any:
        return self._input


class Network:
    def __init__(self, fake: Fake, flags: int) -> None:
        self.flags, self.model = flags, b""
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self.layers = [Layer("weights", "CONSTANT", "FLOAT", ()), *(Layer(*layer) for layer in fake.layers)]
        self.get_input, self.get_output, self.get_layer = (
            lambda i: self.inputs[i],
            lambda i: self.outputs[i],
            lambda i: self.layers[i],
        )

    num_inputs = property(lambda self: len(self.inputs))
    num_outputs = property(lambda self: len(self.outputs))
    num_layers = property(lambda self: len(self.layers))


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, minimum: Any, optimum: Any, maximum: Any) -> None:
        if not all(a <= b <= c for a, b, c in zip(minimum, optimum, maximum, strict=True)):
            raise ValueError("inconsistent dimensions")
        self.shapes[name] = (minimum, optimum, maximum)


class TimingCache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return self.content


class Config:
    def __init__(self, fake: Fake) -> None:
        self.fake, self.cleared, self.profiles, self.pool = fake, [], [], {}
        self.progress_monitor: Any = None
        self.given = b""
        self.cache: TimingCache | None = None

    def clear_flag(self, flag: Any) -> None:
        self.cleared.append(flag)

    def set_memory_pool_limit(self, kind: Any, size: int) -> None:
        self.pool[kind] = size

    def add_optimization_profile(self, profile: Profile) -> int:
        if self.fake.refuses_profiles:
            return -1
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> TimingCache:
        return TimingCache(content)

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache.content and not cache.content.startswith(self.fake.version.encode()):
            return False
        self.given, self.cache = cache.content, cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache


def _tensorrt(fake: Fake) -> Any:
    class ILogger:
        pass

    ILogger.Severity = Severity

    class Builder:
        def __init__(self, logger: Any) -> None:
            if fake.start_error is not None:
                logger.log(Severity.ERROR, fake.start_error)
                raise TypeError("pybind11::init(): factory function returned nullptr")
            self.logger = logger
            self.create_network = lambda flags=0: Network(fake, flags)
            self.create_builder_config = lambda: Config(fake)
            self.create_optimization_profile = Profile

        def build_serialized_network(self, network: Network, config: Config) -> bytes | None:
            self.logger.log(Severity.VERBOSE, "a tactic")
            self.logger.log(Severity.INFO, "building")
            if not fake.during_build(config.progress_monitor):
                return None
            if fake.build_error is not None:
                self.logger.log(Severity.ERROR, fake.build_error)
                return None
            names = [tensor.name for tensor in (*network.inputs, *network.outputs)]
            plan = hashlib.sha256(network.model + repr(config.profiles).encode()).digest()
            fake.builds.append(
                {
                    "plan": plan,
                    "flags": network.flags,
                    "names": names,
                    "profiles": config.profiles,
                    "cleared": config.cleared,
                    "pool": config.pool,
                    "timing": config.given,
                }
            )
            assert config.cache is not None
            config.cache.content = f"{fake.version} {len(fake.builds)}".encode()
            return plan

    class OnnxParser:
        def __init__(self, network: Network, logger: Any) -> None:
            self.network = network
            self.num_errors = 0 if fake.parse_error is None else 1

        def parse(self, model: bytes) -> bool:
            graph = onnx.load_model_from_string(model).graph
            self.network.model = model
            self.network.inputs = [Tensor(value) for value in graph.input]
            self.network.outputs = [Tensor(value) for value in graph.output]
            return fake.parse_error is None

        def get_error(self, index: int) -> Any:
            name, operator, reason = fake.parse_error
            return types.SimpleNamespace(node_name=lambda: name, node_operator=lambda: operator, desc=lambda: reason)

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> Any:
            built = next((one for one in fake.builds if one["plan"] == plan), None)
            if fake.load_error is not None or built is None:
                self.logger.log(Severity.ERROR, fake.load_error or "Magic tag does not match")
                return None
            return types.SimpleNamespace(
                num_io_tensors=len(built["names"]),
                get_tensor_name=lambda index: built["names"][index],
                num_optimization_profiles=len(built["profiles"]),
            )

    members = {
        "__version__": fake.version,
        "ILogger": ILogger,
        "IProgressMonitor": type("IProgressMonitor", (), {}),
        "Builder": Builder,
        "OnnxParser": OnnxParser,
        "Runtime": Runtime,
        "BuilderFlag": types.SimpleNamespace(TF32="TF32"),
        "MemoryPoolType": types.SimpleNamespace(WORKSPACE="WORKSPACE"),
    }
    if fake.major < 11:
        members["NetworkDefinitionCreationFlag"] = types.SimpleNamespace(STRONGLY_TYPED=1)
    return _module("tensorrt", **members)


def _cuda_runtime(fake: Fake) -> Any:
    class Error(enum.IntEnum):
        cudaSuccess = 0  # noqa: N815
        cudaErrorMemoryAllocation = 2  # noqa: N815
        cudaErrorInvalidDevice = 101  # noqa: N815

    def properties(device: int) -> tuple[Any, Any]:
        if device >= len(fake.gpus):
            return Error.cudaErrorInvalidDevice, None
        major, minor = fake.gpus[device]
        return Error.cudaSuccess, types.SimpleNamespace(name=b"Fake GPU", major=major, minor=minor)

    return _module(
        "cuda.bindings.runtime",
        cudaError_t=Error,
        cudaGetDeviceProperties=properties,
        cudaSetDevice=lambda device: (Error.cudaSuccess,),
        cudaGetLastError=lambda: (Error.cudaSuccess,),
        cudaGetErrorName=lambda status: (Error.cudaSuccess, status.name.encode()),
        cudaGetErrorString=lambda status: (Error.cudaSuccess, b"invalid device ordinal"),
    )
