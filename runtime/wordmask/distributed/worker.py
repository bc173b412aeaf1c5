"""Runs in Ray's worker processes: each has a segmenter, takes photos and returns outcomes, or errors as values."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import pyarrow
import ray

from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.search import find_bundle
from wordmask.distributed.shared_lock import SharedExclusiveLock
from wordmask.errors import BundleError, OutputError, WordmaskError
from wordmask.outputs.resume import QUARANTINE
from wordmask.outputs.store import Store
from wordmask.photo.job import Job
from wordmask.pipeline import Segmenter
from wordmask.run.photo_work import Outcome, PhotoProcessor, quarantined
from wordmask.run.request import RunRequest


@dataclass(frozen=True)
class SegmenterLoader:
    """How a worker loads its segmenter.

    Attributes:
        folder: of the bundle on the driver's machine; used if it exists on the worker's too.
        name: by which the bundle is found elsewhere; see wordmask.bundle.find_bundle.
        bundle_id: the id that the worker's bundle must have.
        device, upsampler_device, threads, tensorrt_precision: see Segmenter.
    """

    folder: Path
    name: str | None
    bundle_id: str
    device: str
    upsampler_device: str | None
    threads: int
    tensorrt_precision: Literal["fp16", "bf16", "fp32"]

    def load(self) -> Segmenter:
        """The segmenter.

        Raises:
            WordmaskError: it cannot be loaded here, or differs from the driver's.
        """
        name = self.folder if (self.folder / FILE_NAME).is_file() else find_bundle(self.name)
        segmenter = Segmenter(
            name,
            device=self.device,
            upsampler_device=self.upsampler_device,
            threads=self.threads,
            tensorrt_precision=self.tensorrt_precision,
        )
        found = segmenter.manifest.bundle_id
        if found != self.bundle_id:
            advice = "copy one bundle to every machine"
            raise BundleError(
                f"{name} is another bundle than the driver's: {found}, expected {self.bundle_id}: {advice}"
            )
        return segmenter


@dataclass(frozen=True)
class WorkerConfig:
    """What is the same for all workers of a run.

    Attributes:
        loader: loads the segmenter.
        working_folder: the driver's, which photos' paths may start from.
        request: the run, without its photos.
        out: store of the outputs.
    """

    loader: SegmenterLoader
    working_folder: Path
    request: RunRequest
    out: Store


@dataclass(frozen=True)
class Task:
    """A photo to process, and the number of processes that died at it before this run."""

    job: Job
    deaths: int


@dataclass(frozen=True)
class Failure:
    """An error that every photo would meet."""

    text: str
    cannot_write: bool


class Worker:
    """An actor of Ray Data's pool. Called from as many threads as photos may be processed at the same time."""

    def __init__(self, config: WorkerConfig, crashes: Any) -> None:
        """Args: crashes is the handle of the CrashCounts actor."""
        self._config, self._crashes = config, crashes
        self._warnings = _Warnings()
        logging.getLogger().addHandler(self._warnings)
        with contextlib.suppress(OSError):  # photos that are not found get their rows
            os.chdir(config.working_folder)
        self._lock = SharedExclusiveLock()
        self._process: PhotoProcessor | Failure
        try:
            if not ray.get(crashes.begin_load.remote()):
                raise BundleError("the process dies each time it loads the bundle")
            segmenter = config.loader.load()
        except Exception as error:  # one line from the driver is clearer than Ray's traceback
            self._process = _failure(error)
            return
        crashes.end_load.remote()
        self._process = PhotoProcessor(segmenter, config.request, config.out, Event())

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """A column of tasks in, a column of outcomes or failures out."""
        tasks: list[Task] = unpacked(batch, "task")
        try:
            return packed("outcome", list(self._outcomes(tasks)))
        except Exception as error:
            return packed("outcome", [_failure(error)])

    def _outcomes(self, tasks: Sequence[Task]) -> Iterator[Outcome | Failure]:
        if isinstance(self._process, Failure):
            yield self._process
            return
        names, earlier = [task.job.name for task in tasks], [task.deaths for task in tasks]
        deaths = ray.get(self._crashes.assign.remote(names, earlier))
        if deaths is None:
            raise WordmaskError("the workers die again and again, with no photo finished in between")
        for task, times in zip(tasks, deaths, strict=True):
            yield self._attempted(task.job, times)

    def _attempted(self, job: Job, deaths: int) -> Outcome:
        if deaths >= QUARANTINE:
            return quarantined(job)
        if deaths:
            with self._lock.exclusive():
                outcome = self._processed(job)
            message = f"{job.path}: a worker died while it processed this photo, which was tried again"
            return replace(outcome, messages=(message, *outcome.messages))
        with self._lock.shared():
            outcome = self._processed(job)
        if outcome.out_of_memory and self._config.request.in_flight > 1:
            with self._lock.exclusive():  # alone it may fit
                outcome = self._processed(job)
        return outcome

    def _processed(self, job: Job) -> Outcome:
        assert isinstance(self._process, PhotoProcessor)
        ray.get(self._crashes.begin.remote(job.name))
        outcome = self._process(job)
        self._crashes.end.remote(job.name)
        return replace(outcome, messages=(*outcome.messages, *self._warnings.taken()))


class _Warnings(logging.Handler):
    """Keeps log records of warnings for the driver: only the driver has a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a record's lines."""
        self._lines += self.format(record).splitlines()

    def taken(self) -> list[str]:
        """The lines since the last call."""
        lines, self._lines = self._lines, []
        return lines


def _failure(error: Exception) -> Failure:
    text = str(error) if isinstance(error, WordmaskError | ValueError) else f"{type(error).__name__}: {error}"
    return Failure(f"{socket.gethostname()}: {text}", isinstance(error, OutputError))


def packed(column: str, values: Sequence[object]) -> pyarrow.Table:
    """Values as a column of bytes: names of photos need not be UTF-8, which Arrow's text is."""
    return pyarrow.table({column: pyarrow.array([pickle.dumps(value) for value in values], pyarrow.large_binary())})


def unpacked(table: pyarrow.Table, column: str) -> list[Any]:
    """The values of `packed`."""
    return [pickle.loads(value) for value in table[column].to_pylist()]
