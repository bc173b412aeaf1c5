"""Segments many photos into an output folder, several at the same time, so that the engines need not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from wordmask.backends.device import parse_device
from wordmask.loading import photos_in_flight
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import JOURNAL
from wordmask.outputs.lock import run_lock
from wordmask.outputs.resume import Plan
from wordmask.outputs.run_record import RunRecord
from wordmask.outputs.store import Folder
from wordmask.photo.job import Job
from wordmask.photo.url import Url
from wordmask.pipeline import Segmenter
from wordmask.report.writing import write_report
from wordmask.run.execution import StoppedError, execute
from wordmask.run.photo_work import Outcome, PhotoProcessor
from wordmask.run.request import RunControl, RunRequest, SegmenterInfo

HEARTBEAT = 0.05  # seconds until a stop is noticed


def default_in_flight(device: str) -> int:
    """The default number of photos at the same time on a device; see wordmask.backends.device."""
    return photos_in_flight(on_cpu=parse_device(device).on_cpu)


def run_folder(segmenter: Segmenter, request: RunRequest, control: RunControl | None = None) -> RunRecord:
    """Segments every photo and writes the outputs (see docs/outputs.md).

    A photo that cannot be used becomes a row of the journal with its code; the run goes on. An earlier run into the
    same folder with the same settings that ended early is continued.

    Raises:
        OutputError: the outputs cannot be written; a later run can continue this one.
        ResumeError: the folder holds another run, or one is under way.
        StoppedError: control.stop was set.
        WordmaskError: an error that every photo would meet, such as a device that is gone.
    """
    control, out = control or RunControl(), request.out
    if isinstance(out, Url):
        raise ValueError(f"{out} is a URL: give a folder of this machine, or run on a cluster")
    store = Folder(out)
    process = PhotoProcessor(segmenter, request, store, control.stop)
    info = SegmenterInfo.of(segmenter, request.options)
    with run_lock(out), ThreadPoolExecutor(request.in_flight, "photo") as pool:
        record = execute(request, info, store, LocalWorkers(process, pool, request.in_flight), control)
        if request.outputs.report:
            words = request.queries.vocabulary.names
            write_report(out, record, Journal(out / JOURNAL), request.jobs, words, request.reading)
        return record


@dataclass(frozen=True)
class LocalWorkers:
    """Threads of this process (see wordmask.run.execution.PhotoWorkers)."""

    process: PhotoProcessor
    pool: Executor
    in_flight: int

    def process_photos(self, plan: Plan) -> Generator[Outcome, None, None]:
        """In the order of the plan; photos that ran out of memory are processed once more at the end, one at a time."""
        try:
            for _, outcome in self._in_order(plan.journal, plan.suspects, 1):
                yield outcome
            retried = []
            # one photo more than threads, so that none waits
            for job, outcome in self._in_order(plan.journal, plan.rest, self.in_flight + 1):
                if outcome.out_of_memory and self.in_flight > 1:
                    retried.append(job)
                else:
                    yield outcome
            for _, outcome in self._in_order(plan.journal, retried, 1):
                yield outcome
        except BaseException:
            self.pool.shutdown(wait=False, cancel_futures=True)
            raise

    def _in_order(self, journal: Journal, jobs: Iterable[Job], window: int) -> Iterator[tuple[Job, Outcome]]:
        """Submits up to `window` photos to the pool at a time and yields their outcomes in order."""
        waiting: deque[tuple[Job, Future[Outcome]]] = deque()
        for job in jobs:
            if len(waiting) == window:
                first, outcome = waiting.popleft()
                yield first, self._result(outcome)
            journal.start(job)
            waiting.append((job, self.pool.submit(self.process, job)))
        for job, outcome in waiting:
            yield job, self._result(outcome)

    def _result(self, outcome: Future[Outcome]) -> Outcome:
        while not self.process.stop.is_set():
            if wait([outcome], HEARTBEAT).done:
                return outcome.result()
        self.process.segmenter.cancel()
        raise StoppedError
