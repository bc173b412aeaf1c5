"""The Python model of a Triton repository: encoded photos and words in, COCO annotations out.

The chain is wordmask.pipeline's own. Its graphs are other models of the same server, called through BLS, so that the
server schedules and batches them across the processes of this model and the GPUs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wordmask.backends.tensorrt.buckets import Buckets
from wordmask.bundle.file_checks import check_file
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.opening import Bundle
from wordmask.errors import PhotoError
from wordmask.pipeline import Segmenter
from wordmask.run.photo_work import failure_of
from wordmask.system.limits import processors
from wordmask.triton.graph import SharedMemoryError, TritonGraph
from wordmask.triton.request import OPTIONS, PHOTO, WORDS, Question, RequestError, answer
from wordmask.triton.serving_json import read_serving

VOCABULARIES = 64  # word lists whose embeddings are kept ready; each word's are kept anyway
_SERVERS_FAULT = ("NUMERIC", "OOM", "INTERNAL")  # codes of failures that are none of the request's


@dataclass(frozen=True)
class Answered:
    """A response, and the code of its error or "ok"."""

    code: str
    response: Any


class AnswerCounts:
    """The metric wordmask_answers_total: Triton's own counts take a response with an error for a success."""

    def __init__(self, backend: Any, model: str) -> None:
        """Makes the family, which all processes of a server share."""
        self._family = backend.MetricFamily(
            name="wordmask_answers_total",
            description="Requests answered, by the code of the error; ok without one",
            kind=backend.MetricFamily.COUNTER,
        )
        self._model = model
        self._counters: dict[str, Any] = {}

    def add(self, code: str) -> None:
        """Counts an answer."""
        if code not in self._counters:
            self._counters[code] = self._family.Metric(labels={"model": self._model, "code": code})
        self._counters[code].increment(1)


class TritonPythonModel:
    """What Triton's Python backend calls; one a process."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Makes the chain ready; no graph is called yet.

        Args:
            args: Triton's; `model_repository` is this model's folder, `model_version` the name of the one inside,
                `model_name` the model's.

        Raises:
            BundleError: a file of the repository is missing or damaged.
        """
        self._backend: Any = importlib.import_module("triton_python_backend_utils")  # there is one only in a server
        folder = Path(args["model_repository"]) / args["model_version"]
        serving, bundle = read_serving(folder), Bundle(folder, read_manifest(folder))
        merges = bundle.manifest.clip.merges
        check_file(bundle.path(merges), merges)
        graphs = {}
        for name, served in serving.graphs.items():
            entry = bundle.manifest.graphs[name]
            buckets = Buckets(served.model, entry, served.profiles) if served.profiles else None
            graphs[name] = TritonGraph(self._backend, served.model, entry, rows=served.rows, buckets=buckets)
        threads = max(1, processors() // serving.workers)
        self._segmenter = Segmenter.from_graphs(bundle, graphs, on_cpu=serving.on_cpu, threads=threads)
        self._embed = lru_cache(VOCABULARIES)(self._segmenter.embed)
        self._pool = ThreadPoolExecutor(serving.in_flight, "photo")
        self._answers = AnswerCounts(self._backend, args["model_name"])

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers requests side by side; one that fails does not touch the others.

        Args:
            requests: triton_python_backend_utils.InferenceRequest, of one photo each.

        Returns:
            A response for each, in order. An error's message begins with a code: one of PhotoError's, REQUEST for words
            or options that cannot be used, CANCELLED, or INTERNAL.
        """
        answers = list(self._pool.map(self._respond, requests))
        for answered in answers:
            self._answers.add(answered.code)
        return [answered.response for answered in answers]

    def finalize(self) -> None:
        """Ends the threads."""
        self._pool.shutdown()

    def _respond(self, request: Any) -> Answered:
        backend = self._backend
        if request.is_cancelled():
            return self._error("CANCELLED", "the client cancelled the request", backend.TritonError.CANCELLED)
        try:
            found = answer(self._segmenter, self._embed, self._question(request), request.requested_output_names())
            tensors = [backend.Tensor(name, np.array([[content]], np.object_)) for name, content in found]
        except RequestError as error:
            return self._error("REQUEST", error, backend.TritonError.INVALID_ARG)
        except SharedMemoryError as error:
            return self._error("OOM", error, backend.TritonError.INTERNAL)
        except Exception as error:
            # what every photo would meet has no code of its own
            failure = failure_of(error) or PhotoError("INTERNAL", f"{type(error).__name__}: {error}")
            ours = failure.code in _SERVERS_FAULT
            kind = backend.TritonError.INTERNAL if ours else backend.TritonError.INVALID_ARG
            return self._error(failure.code, failure, kind)
        return Answered("ok", backend.InferenceResponse(output_tensors=tensors))

    def _question(self, request: Any) -> Question:
        photo, words, options = (self._bytes(request, name) for name in (PHOTO, WORDS, OPTIONS))
        if photo is None or words is None:
            raise RequestError(f"the input {PHOTO if photo is None else WORDS!r} is missing")
        return Question.parse(photo, words, options or b"", request.request_id())

    def _bytes(self, request: Any, name: str) -> bytes | None:
        """The one element of an input of bytes; None where an optional one is missing."""
        tensor = self._backend.get_input_tensor_by_name(request, name)
        if tensor is None:
            return None
        array = tensor.as_numpy()
        if array.size != 1:
            raise RequestError(
                f"the input {name!r} has the shape {array.shape}, expected (1, 1): send one photo a request; "
                "the server joins requests by itself"
            )
        return bytes(array.item())

    def _error(self, code: str, message: object, kind: int) -> Answered:
        backend = self._backend
        return Answered(code, backend.InferenceResponse(error=backend.TritonError(f"{code}: {message}", kind)))
