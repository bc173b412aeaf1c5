"""A fake of the module that Triton's Python backend gives its models, over a model repository on disk.

It runs the repository's graphs in ONNX Runtime and insists on what the server insists on: models are called only while
a request is answered, by their inputs' names, types and shapes, with no more rows than a batch may have.
"""

# ruff: noqa: N802 (names are Triton's)
from __future__ import annotations

import collections
import contextlib
import json
import re
import types
from types import SimpleNamespace

import numpy as np
import onnxruntime

from wordmask.backends.onnxruntime.graph import session_options
from wordmask.backends.onnxruntime.io_binding import ELEMENT_TYPES


class TritonError:
    INTERNAL, INVALID_ARG, CANCELLED = 1, 3, 7

    def __init__(self, message, code=INTERNAL):
        self._message, self._code = message, code

    def message(self):
        return self._message

    def code(self):
        return self._code


class Tensor:
    def __init__(self, name, array):
        assert isinstance(array, np.ndarray) and array.flags.c_contiguous
        self._name, self._array = name, array

    def name(self):
        return self._name

    def as_numpy(self):
        return self._array.copy()


class InferenceResponse:
    def __init__(self, output_tensors=(), error=None):
        self.tensors, self._error = list(output_tensors), error

    def has_error(self):
        return self._error is not None

    def error(self):
        return self._error

    def content(self):
        """The contents of outputs of bytes, by name."""
        assert all(tensor.as_numpy().shape == (1, 1) for tensor in self.tensors)
        return {tensor.name(): tensor.as_numpy().item() for tensor in self.tensors}


class Request:
    """What a client sends. Inputs are bytes, or lists of them for several rows."""

    def __init__(self, inputs, *, outputs=("annotations", "semantic", "report"), name="", cancelled=False):
        self.inputs = {
            key: Tensor(key, np.array([[row] for row in (value if isinstance(value, list) else [value])], np.object_))
            for key, value in inputs.items()
        }
        self._outputs, self._name, self._cancelled = list(outputs), name, cancelled

    def requested_output_names(self):
        return self._outputs

    def request_id(self):
        return self._name

    def is_cancelled(self):
        return self._cancelled


def metric_family(server):
    """The class MetricFamily of a server, which counts in `server.counts` by name and labels."""

    class MetricFamily:
        COUNTER = 0

        def __init__(self, *, name, description, kind):
            assert description
            assert kind == self.COUNTER
            self._name = name

        def Metric(self, *, labels):
            def increment(value):
                server.counts[(self._name, *labels.values())] += value

            return SimpleNamespace(increment=increment)

    return MetricFamily


class FakeTriton(types.ModuleType):
    """The module triton_python_backend_utils of a server.

    `calls` records the models called; `faults` maps a model to an error's message, or to a function on its outputs.
    `counts` are the counters of its metrics.
    """

    TRITONSERVER_MEMORY_CPU = 0
    TritonError, Tensor, InferenceResponse = TritonError, Tensor, InferenceResponse

    def __init__(self, repository):
        super().__init__("triton_python_backend_utils")
        self.repository, self.calls, self.faults = repository, [], {}
        self._sessions, self._answering = {}, False
        self.counts, self.MetricFamily = collections.Counter(), metric_family(self)

    def PreferredMemory(self, kind, device):
        assert kind == self.TRITONSERVER_MEMORY_CPU
        return kind, device

    @staticmethod
    def get_input_tensor_by_name(request, name):
        return request.inputs.get(name)

    @staticmethod
    def get_output_tensor_by_name(response, name):
        return next(tensor for tensor in response.tensors if tensor.name() == name)

    def InferenceRequest(self, *, model_name, requested_output_names, inputs, preferred_memory):
        return SimpleNamespace(exec=lambda: self._run(model_name, requested_output_names, inputs))

    def load(self, name="wordmask"):
        """The Python model of the repository, initialized as the server does it."""
        scope = {}
        exec((self.repository / name / "1" / "model.py").read_text(), scope)
        model = scope["TritonPythonModel"]()
        model.initialize({"model_repository": str(self.repository / name), "model_version": "1", "model_name": name})
        return model

    @contextlib.contextmanager
    def answering(self):
        """Models may be called inside."""
        self._answering = True
        try:
            yield
        finally:
            self._answering = False

    def execute(self, model, *requests):
        """Sends requests as one batch."""
        with self.answering():
            responses = model.execute(list(requests))
        assert len(responses) == len(requests)
        return responses

    def _run(self, name, wanted, tensors):
        assert self._answering, "BLS is only supported during the 'execute' function"
        self.calls.append(name)
        fault = self.faults.get(name)
        if isinstance(fault, str):
            return InferenceResponse(error=TritonError(fault))
        session, most = self._session(name)
        fed = {tensor.name(): tensor.as_numpy() for tensor in tensors}
        for put in session.get_inputs():
            array = fed[put.name]
            assert array.dtype == ELEMENT_TYPES[put.type]
            assert all(isinstance(s, str) or s == n for s, n in zip(put.shape, array.shape, strict=True))
            assert not most or len(array) <= most, f"{name} has a batch of {len(array)}, max_batch_size is {most}"
        found = dict(zip(wanted, session.run(wanted, fed), strict=True))
        found = fault(found) if fault else found
        return InferenceResponse([Tensor(key, np.ascontiguousarray(value)) for key, value in found.items()])

    def _session(self, name):
        if name not in self._sessions:
            config = (self.repository / name / "config.pbtxt").read_text()
            file = json.loads(re.search(r"default_model_filename: (.*)", config)[1])
            content = (self.repository / name / "1" / file).read_bytes()
            session = onnxruntime.InferenceSession(content, session_options(onnxruntime, 1))
            self._sessions[name] = session, int(re.search(r"max_batch_size: (\d+)", config)[1])
        return self._sessions[name]
