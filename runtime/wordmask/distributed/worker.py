"""What runs in Ray's processes: a segmenter each, photos in, rows out. No photo and no bundle raises anything there."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Literal

import pyarrow
import ray

from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.search import find_bundle
from wordmask.distributed.shared_lock import Gate
from wordmask.errors import BundleError, OutputError, WordmaskError
from wordmask.outputs.resume import QUARANTINE
from wordmask.outputs.store import Store
from wordmask.photo.job import Job
from wordmask.pipeline import Segmenter
from wordmask.run.execution import Outcome
from wordmask.run.photo_work import Work, Writing, quarantine
from wordmask.text.queries import Queries
from wordmask.types import Options


@dataclass(frozen=True)
class Engine:
    """How a worker loads its segmenter.

    Attributes:
        folder: of the bundle on the driver's machine; taken where it stands on the worker's too.
        name: what it is looked up by elsewhere; see wordmask.bundle.find_bundle.
        bundle_id: what the worker must find.
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
            WordmaskError: it cannot be loaded here, or is not the driver's.
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
class Errand:
    """What is the same for all workers of a run.

    Attributes:
        engine: loads the segmenter.
        place: the driver's working folder, which photos' paths may start from.
        queries, options, out, writing, lenient: see Work.
        in_flight: photos under way at once in each.
    """

    engine: Engine
    place: Path
    queries: Queries
    options: Options
    out: Store
    writing: Writing
    lenient: bool
    in_flight: int


@dataclass(frozen=True)
class Task:
    """A photo to do, and how often a process died at work on it before this run."""

    job: Job
    deaths: int


@dataclass(frozen=True)
class Failure:
    """What every photo would meet."""

    text: str
    cannot_write: bool


class Worker:
    """An actor of Ray Data's pool. Called from as many threads as there may be photos under way."""

    def __init__(self, errand: Errand, ledger: Any) -> None:
        """Args: ledger is the actor's handle (see wordmask.distributed.crash_counts)."""
        self._errand, self._ledger = errand, ledger
        self._said = _Said()
        logging.getLogger().addHandler(self._said)
        with contextlib.suppress(OSError):  # of photos that are not there the rows will tell
            os.chdir(errand.place)
        self._gate = Gate()
        self._work: Work | Failure
        try:
            if not ray.get(ledger.load.remote()):
                raise BundleError("the process dies each time it loads the bundle")
            segmenter = errand.engine.load()
        except Exception as error:  # one line from the driver says it better than Ray would
            self._work = _failure(error)
            return
        ledger.loaded.remote()
        self._work = Work(
            segmenter, errand.queries, errand.options, errand.out, errand.writing, Event(), errand.lenient
        )

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        """A column of tasks in, a column of outcomes or failures out."""
        tasks: list[Task] = unpacked(batch, "task")
        try:
            return packed("outcome", list(self._outcomes(tasks)))
        except Exception as error:
            return packed("outcome", [_failure(error)])

    def _outcomes(self, tasks: Sequence[Task]) -> Iterator[Outcome | Failure]:
        if isinstance(self._work, Failure):
            yield self._work
            return
        names, earlier = [task.job.name for task in tasks], [task.deaths for task in tasks]
        deaths = ray.get(self._ledger.take.remote(names, earlier))
        if deaths is None:
            raise WordmaskError("the workers die again and again, with no photo finished in between")
        for task, times in zip(tasks, deaths, strict=True):
            yield self._tried(task.job, times)

    def _tried(self, job: Job, deaths: int) -> Outcome:
        if deaths >= QUARANTINE:
            row = quarantine(job)
            return row, (f"{row['status']}: {row['error']}",)
        if deaths:
            with self._gate.alone():
                row, said = self._done(job)
            return row, (f"{job.path}: a worker died at work on it, it was tried again", *said)
        with self._gate.together():
            outcome = self._done(job)
        if outcome[0]["status"] == "OOM" and self._errand.in_flight > 1:
            with self._gate.alone():  # alone it may fit
                outcome = self._done(job)
        return outcome

    def _done(self, job: Job) -> Outcome:
        assert isinstance(self._work, Work)
        ray.get(self._ledger.begin.remote(job.name))
        row, said = self._work(job)
        self._ledger.end.remote(job.name)
        return row, (*said, *self._said.taken())


class _Said(logging.Handler):
    """Keeps warnings for the driver, which alone has a terminal."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one."""
        self._lines += self.format(record).splitlines()

    def taken(self) -> list[str]:
        """What came since the last call."""
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
