"""The fakes of CUDA against the package cuda-bindings: names, arguments, answers, numbers. No GPU is needed."""

from __future__ import annotations

import enum
import inspect
import re
import textwrap

import pytest

from fake_cuda import NOT_WHILE_CAPTURING, WITH_VALUE, FakeCuda, Status
from fake_tensorrt_builder import Fake, _cuda_runtime

FUNCTIONS = sorted(
    name for name in vars(FakeCuda) if re.match("cuda[A-Z]", name) and inspect.isfunction(getattr(FakeCuda, name))
)
OF_BUILDER = sorted(name for name in vars(_cuda_runtime(Fake())) if re.match("cuda[A-Z]", name))


@pytest.fixture(scope="module")
def real():
    return pytest.importorskip("cuda.bindings.runtime")


def answered(function):
    """How many values a function of cuda-bindings answers with, by its documentation."""
    section = re.search(r"^ *Returns\n *-+\n(.*?)(\n\n|\Z)", function.__doc__, re.MULTILINE | re.DOTALL)[1]
    return sum(not line.startswith(" ") for line in textwrap.dedent(section).splitlines() if line)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_takes_and_answers_what_cudas_does(real, name):
    function = getattr(real, name)
    assert len(inspect.signature(function).parameters) == len(inspect.signature(getattr(FakeCuda, name)).parameters) - 1
    assert answered(function) == (2 if name in WITH_VALUE else 1)


def test_every_function_is_there():
    assert len(FUNCTIONS) > 20
    assert set(FUNCTIONS) >= WITH_VALUE | NOT_WHILE_CAPTURING
    assert set(OF_BUILDER) - {"cudaError_t"} <= set(FUNCTIONS)


def test_the_builders_fake_answers_alike():
    fake = _cuda_runtime(Fake())
    status = fake.cudaError_t.cudaErrorInvalidDevice
    arguments = {"cudaGetErrorName": (status,), "cudaGetErrorString": (status,), "cudaGetLastError": ()}
    for name in set(OF_BUILDER) - {"cudaError_t"}:
        assert len(getattr(fake, name)(*arguments.get(name, (0,)))) == (2 if name in WITH_VALUE else 1), name


@pytest.mark.parametrize("errors", [Status, _cuda_runtime(Fake()).cudaError_t])
def test_errors_have_cudas_names_and_numbers(real, errors):
    assert issubclass(errors, enum.IntEnum)
    assert {error.name: int(error) for error in errors} == {
        error.name: int(getattr(real.cudaError_t, error.name)) for error in errors
    }


def test_flags_and_kinds_are_cudas(real):
    for name in ("cudaHostAllocDefault", "cudaEventDisableTiming", "cudaStreamNonBlocking"):
        assert getattr(FakeCuda, name) == getattr(real, name)
    for enumeration in ("cudaMemcpyKind", "cudaStreamCaptureMode"):
        for name in vars(getattr(FakeCuda, enumeration)):
            assert name in getattr(real, enumeration).__members__
    assert int(real.cudaStream_t(7)) == 7  # TensorRT takes a stream's number


def test_cuda_takes_the_types_that_are_passed_and_answers_alike_without_a_driver(real):
    """A failed call still answers with as many values: None in place of each."""
    if real.cudaGetDeviceCount()[0] == real.cudaError_t.cudaSuccess:
        pytest.skip("there is a GPU, on which these calls would do something")
    stream, event, kind = real.cudaStream_t(0), real.cudaEvent_t(0), real.cudaMemcpyKind
    mode = real.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    calls = {
        "cudaSetDevice": (0,),
        "cudaGetDeviceProperties": (0,),
        "cudaGetLastError": (),
        "cudaMalloc": (16,),
        "cudaFree": (0,),
        "cudaHostAlloc": (16, real.cudaHostAllocDefault),
        "cudaFreeHost": (0,),
        "cudaMemcpyAsync": (0, 0, 0, kind.cudaMemcpyHostToDevice, stream),
        "cudaMemcpy": (0, 0, 0, kind.cudaMemcpyDeviceToHost),
        "cudaMemsetAsync": (0, 0, 0, stream),
        "cudaStreamCreateWithFlags": (real.cudaStreamNonBlocking,),
        "cudaStreamSynchronize": (stream,),
        "cudaStreamWaitEvent": (stream, event, 0),
        "cudaEventCreateWithFlags": (real.cudaEventDisableTiming,),
        "cudaEventRecord": (event, stream),
        "cudaEventSynchronize": (event,),
        "cudaStreamBeginCapture": (stream, mode),
        "cudaStreamEndCapture": (stream,),
    }
    for name, arguments in calls.items():
        status, *values = getattr(real, name)(*arguments)
        assert isinstance(status, real.cudaError_t)
        assert values == ([None] if name in WITH_VALUE else []), name
    failed = real.cudaError_t.cudaErrorInvalidValue
    assert real.cudaGetErrorName(failed)[1] == b"cudaErrorInvalidValue"
    assert isinstance(real.cudaGetErrorString(failed)[1], bytes)
