"""Segments many photos into an output folder. Several are under way at once, so that the engines need not wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from threading import Event
from typing import Any

from wordmask.errors import OutputError
from wordmask.journal import Journal, Row
from wordmask.photo_work import Work, Writing, quarantine
from wordmask.photos import Job
from wordmask.pipeline import Queries, Segmenter
from wordmask.report import write_report
from wordmask.resume import Plan, prepare
from wordmask.run_lock import run_lock
from wordmask.summary import OutOfTimeError, Totals, bundle_facts, write_annotations, write_run
from wordmask.types import Options

IN_FLIGHT = 2  # photos under way at once
HEARTBEAT = 0.05  # seconds until a stop is noticed
LAST_WORDS = 1.0  # seconds for the annotations after a stop

Outcome = tuple[Row, tuple[str, ...]]


class StoppedError(Exception):
    """The run was asked to stop; what it finished is written."""


def run_folder(
    segmenter: Segmenter,
    jobs: Sequence[Job],
    queries: Queries,
    options: Options,
    out: Path,
    *,
    writing: Writing | None = None,
    settings: dict[str, Any] | None = None,
    lenient: bool = False,
    restart: bool = False,
    retry_quarantined: bool = False,
    in_flight: int = IN_FLIGHT,
    stop: Event | None = None,
    tell: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], None] = lambda done: None,
) -> Totals:
    """Segments every photo and writes the outputs (see the README).

    A photo that cannot be used becomes a row of the journal with its code; the run goes on. Where an earlier run of the
    same settings into the same folder ended early, it is continued.

    Args:
        segmenter: the loaded bundle.
        jobs: the photos.
        queries: the embedded vocabulary.
        options: thresholds and prompts.
        out: output folder, made if missing.
        writing: optional outputs.
        settings: noted in run.json; what an earlier run must have had too, but for resume.FREE.
        lenient: take garbled JPEGs as far as they can be decoded, and say so.
        restart: see resume.prepare. retry_quarantined: see there.
        in_flight: photos under way at once; the results do not depend on it.
        stop: when set, the run ends soon.
        tell: takes a line about a photo that deserves one.
        progress: takes the number of photos done, after each.

    Raises:
        OutputError: the outputs cannot be written; a later run can continue this one.
        ResumeError: the folder holds another run, or one is under way.
        StoppedError: `stop` was set.
        WordmaskError: what every photo would meet, such as a device that is gone.
    """
    if in_flight < 1:
        raise ValueError(f"in_flight is {in_flight}: it must be at least 1")
    writing = writing or Writing()
    bundle = bundle_facts(segmenter.manifest, loftup=segmenter.uses_loftup(options))
    settings = {
        **(settings or {}),
        "lenient": lenient,
        **asdict(options),
        "upsample": segmenter.upsample(options),
        **asdict(writing),
    }
    stop = stop or Event()
    work = Work(segmenter, queries, options, out, writing, stop, lenient)
    with run_lock(out):
        compared = {**settings, "bundle": bundle["id"]}
        plan = prepare(out, jobs, compared, writing.kinds, restart=restart, retry_quarantined=retry_quarantined)
        run = _Run(work, jobs, plan.journal, settings, bundle, tell, progress)
        run.summarise(finished=False)
        with ThreadPoolExecutor(in_flight, "photo") as pool:
            try:
                run.work_off(plan, pool, in_flight)
            except BaseException as error:
                pool.shutdown(wait=False, cancel_futures=True)
                if not isinstance(error, OutputError):  # what is finished can be used
                    run.write_annotations(until=time.monotonic() + LAST_WORDS)
                    run.summarise(finished=False)
                raise
        run.journal = plan.journal.compacted(jobs)
        run.write_annotations()
        totals = run.summarise(finished=True)
        if writing.report:
            write_report(out, run.journal, jobs, queries.vocabulary.names, lenient=lenient)
        return totals


class _Run:
    """A run under way. The photos are worked on in threads; everything here happens in one."""

    def __init__(
        self,
        work: Work,
        jobs: Sequence[Job],
        journal: Journal,
        settings: dict[str, Any],
        bundle: dict[str, Any],
        tell: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> None:
        self.work, self.jobs, self.journal = work, jobs, journal
        self.settings, self.bundle = settings, bundle
        self.tell, self.progress = tell, progress
        self.begin, self.done_before = time.perf_counter(), len(journal.finished)

    def work_off(self, plan: Plan, pool: Executor, in_flight: int) -> None:
        """Does what is left to do."""
        if self.done_before:
            self.tell(f"continued: {self.done_before} of {len(self.jobs)} photos are done")
            self.progress(self.done_before)
        with self.journal:
            for job in plan.quarantined:
                row = quarantine(job)
                self._finish(row, (f"{row['status']}: {row['error']}",))
            for _, outcome in self._in_order(pool, plan.suspects, 1):
                self._finish(*outcome)
            short_of_memory = []
            for job, outcome in self._in_order(pool, plan.rest, in_flight + 1):  # one waits, so that no thread does
                if outcome[0]["status"] == "OOM" and in_flight > 1:
                    short_of_memory.append(job)
                else:
                    self._finish(*outcome)
            for _, outcome in self._in_order(pool, short_of_memory, 1):  # alone it may fit
                self._finish(*outcome)

    def _in_order(self, pool: Executor, jobs: Iterable[Job], window: int) -> Iterator[tuple[Job, Outcome]]:
        """Hands up to `window` photos to the pool, and gives them back in order."""
        waiting: deque[tuple[Job, Future[Outcome]]] = deque()
        for job in jobs:
            if len(waiting) == window:
                first, outcome = waiting.popleft()
                yield first, self._result(outcome)
            self.journal.start(job)
            waiting.append((job, pool.submit(self.work, job)))
        for job, outcome in waiting:
            yield job, self._result(outcome)

    def _result(self, outcome: Future[Outcome]) -> Outcome:
        while not self.work.stop.is_set():
            if wait([outcome], HEARTBEAT).done:
                return outcome.result()
        self.work.segmenter.cancel()
        raise StoppedError

    def _finish(self, row: Row, said: tuple[str, ...]) -> None:
        self.journal.append(row)
        for line in said:
            self.tell(line)
        self.progress(len(self.journal.finished))

    def write_annotations(self, *, until: float | None = None) -> None:
        """annotations.json, if there is time for it."""
        try:
            write_annotations(self.work.out, self.work.queries.vocabulary.names, self.journal, self.jobs, until=until)
        except OutOfTimeError:
            self.tell("annotations.json is not complete: the next run writes it")

    def summarise(self, *, finished: bool) -> Totals:
        """run.json."""
        totals = Totals.of(row for _, row in self.journal.rows(self.jobs))
        seconds = time.perf_counter() - self.begin
        photos = totals.statuses.total() - self.done_before
        write_run(self.work.out, self.settings, self.bundle, totals, finished=finished, photos=photos, seconds=seconds)
        return totals
