"""The fakes of TensorRT against the package tensorrt-cu13-bindings: names, numbers of arguments, answers."""

from __future__ import annotations

import inspect
import json
import re

import pytest

import fake_tensorrt_builder as builder
import fake_tensorrt_runtime as runtime

FAKES = {
    "IExecutionContext": runtime.Context,
    "ICudaEngine": runtime.Engine,
    "INetworkDefinition": builder.Network,
    "IOptimizationProfile": builder.Profile,
    "ITimingCache": builder.TimingCache,
    "IBuilderConfig": builder.Config,
}
# What the package's code calls or reads, and what that answers with.
ANSWERS = {
    "IExecutionContext.set_device_memory": "None",
    "IExecutionContext.set_optimization_profile_async": "bool",
    "IExecutionContext.set_input_shape": "bool",
    "IExecutionContext.get_tensor_shape": "Dims",
    "IExecutionContext.set_tensor_address": "bool",
    "IExecutionContext.execute_async_v3": "bool",
    "ICudaEngine.get_tensor_name": "str",
    "ICudaEngine.get_tensor_dtype": "DataType",
    "ICudaEngine.create_execution_context": "IExecutionContext",
    "INetworkDefinition.get_input": "ITensor",
    "INetworkDefinition.get_output": "ITensor",
    "INetworkDefinition.get_layer": "ILayer",
    "IOptimizationProfile.set_shape": "None",
    "ITimingCache.serialize": "IHostMemory",
    "IBuilderConfig.clear_flag": "None",
    "IBuilderConfig.set_memory_pool_limit": "None",
    "IBuilderConfig.add_optimization_profile": "int",
    "IBuilderConfig.create_timing_cache": "ITimingCache",
    "IBuilderConfig.set_timing_cache": "bool",
    "IBuilderConfig.get_timing_cache": "ITimingCache",
    "Builder.create_network": "INetworkDefinition",
    "Builder.create_builder_config": "IBuilderConfig",
    "Builder.create_optimization_profile": "IOptimizationProfile",
    "Builder.build_serialized_network": "IHostMemory",
    "OnnxParser.parse": "bool",
    "OnnxParser.get_error": "IParserError",
    "Runtime.deserialize_cuda_engine": "ICudaEngine",
}
PROPERTIES = {
    "ICudaEngine": ("num_io_tensors", "num_optimization_profiles", "device_memory_size_v2"),
    "INetworkDefinition": ("num_inputs", "num_outputs", "num_layers"),
    "IBuilderConfig": ("progress_monitor",),
    "ILayer": ("name", "type", "num_outputs"),
    "ITensor": ("name", "dtype", "shape"),
    "OnnxParser": ("num_errors",),
}
MEMBERS = {
    "ExecutionContextAllocationStrategy": ("USER_MANAGED",),
    "BuilderFlag": ("TF32",),
    "MemoryPoolType": ("WORKSPACE",),
    "DataType": ("UINT8", "INT32", "FLOAT", "HALF", "BF16"),
    "LayerType": ("CONSTANT", "CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM", "NORMALIZATION"),
}
SCRIPT = """
import json, tensorrt as trt
facts = {}
for name, kind in vars(trt).items():
    if isinstance(kind, type):
        facts[name] = {
            member: (getattr(kind, member).__doc__ or "") if callable(getattr(kind, member)) else ""
            for member in dir(kind) if not member.startswith("__")
        }
severity = {name: int(value) for name, value in trt.ILogger.Severity.__members__.items()}
print(json.dumps({"version": trt.__version__, "facts": facts, "severity": severity}))
"""


@pytest.fixture(scope="module")
def real(trt_standin):
    done = trt_standin.run("-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def signatures(real, name):
    """Numbers of arguments and answer of each overload of a method, from pybind11's documentation."""
    kind, method = name.split(".")
    found = re.findall(rf"{method}\(self: [\w.]+(.*?)\) -> ([\w.:]+)", real["facts"][kind][method])
    return {
        (arguments.count(": "), re.split(r"[.:]", answer)[-1], arguments.count(" = ")) for arguments, answer in found
    }


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_a_method_answers_what_tensorrts_does(real, name):
    assert ANSWERS[name] in {answer for _, answer, _ in signatures(real, name)}


@pytest.mark.parametrize(
    "name", sorted(name for name in ANSWERS if hasattr(FAKES.get(name.split(".")[0]), name.split(".")[1]))
)
def test_a_method_takes_as_many_arguments_as_tensorrts_does(real, name):
    kind, method = name.split(".")
    taken = len(inspect.signature(getattr(FAKES[kind], method)).parameters) - 1
    assert any(count - optional <= taken <= count for count, _, optional in signatures(real, name))


def test_properties_and_members_are_there(real):
    for kind, names in {**PROPERTIES, **MEMBERS}.items():
        assert set(names) <= set(real["facts"][kind]), kind
    assert {"ILogger", "IProgressMonitor", "Builder", "OnnxParser", "Runtime"} <= set(real["facts"])
    assert {"phase_start", "phase_finish", "step_complete"} <= set(real["facts"]["IProgressMonitor"])
    assert {"node_name", "node_operator", "desc"} <= set(
        real["facts"].get("IParserError") or real["facts"]["ParserError"]
    )


def test_the_fakes_have_no_other_public_names(real):
    own = {"engine", "profile", "shapes", "addresses", "memory", "ran", "captured", "sizes", "compute", "array"}
    assert set(public(runtime.Context)) - own <= set(real["facts"]["IExecutionContext"])
    assert set(public(builder.Config)) <= set(real["facts"]["IBuilderConfig"])
    assert set(public(builder.Profile)) <= set(real["facts"]["IOptimizationProfile"])


def public(kind):
    return [name for name in vars(kind) if not name.startswith("_")]


def test_severities_have_tensorrts_numbers(real):
    assert {level.name: int(level) for level in builder.Severity} == real["severity"]
    assert real["version"] == runtime.VERSION == builder.Fake().version
