"""Segments many photos into an output folder. Several are under way at once, so that the engines need not wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from wordmask.backends.device import parse_device
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import JOURNAL
from wordmask.outputs.lock import run_lock
from wordmask.outputs.resume import Plan
from wordmask.outputs.store import Folder
from wordmask.outputs.summary import Totals
from wordmask.photo.job import Job
from wordmask.pipeline import Segmenter
from wordmask.report.writing import write_report
from wordmask.run.execution import Outcome, Run, StoppedError, all_settings, carry_out, facts
from wordmask.run.photo_work import Work, Writing
from wordmask.text.queries import Queries
from wordmask.types import Options

IN_FLIGHT = 2  # photos under way at once
GPU_IN_FLIGHT = 4  # the same on a GPU: of 1, 2, 4 and 8 the fastest on an H200 (benchmarks/NOTES.md)
HEARTBEAT = 0.05  # seconds until a stop is noticed


def default_in_flight(device: str) -> int:
    """How many photos are under way at once on a device, where nobody chose; see wordmask.backends.device."""
    return IN_FLIGHT if parse_device(device).on_cpu else GPU_IN_FLIGHT


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
        settings: noted in run.json; what an earlier run must have had too, but for outputs.resume.FREE.
        lenient: take garbled JPEGs as far as they can be decoded, and say so.
        restart: see outputs.resume.prepare. retry_quarantined: see there.
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
    writing, stop = writing or Writing(), stop or Event()
    run = Run(
        jobs,
        queries.vocabulary.names,
        all_settings(segmenter, options, writing, lenient=lenient, others=settings),
        facts(segmenter, options),
        writing.kinds,
        restart,
        retry_quarantined,
        tell,
        progress,
    )
    store = Folder(out)
    work = Work(segmenter, queries, options, store, writing, stop, lenient)
    with run_lock(out), ThreadPoolExecutor(in_flight, "photo") as pool:
        totals = carry_out(run, store, partial(_work_off, work, pool, in_flight))
        if writing.report:
            write_report(out, Journal(out / JOURNAL), jobs, run.words, lenient=lenient)
        return totals


def _work_off(work: Work, pool: Executor, in_flight: int, plan: Plan) -> Generator[Outcome, None, None]:
    """Does what is left to do."""
    try:
        for _, outcome in _in_order(work, pool, plan.journal, plan.suspects, 1):
            yield outcome
        short_of_memory = []
        # one waits, so that no thread does
        for job, outcome in _in_order(work, pool, plan.journal, plan.rest, in_flight + 1):
            if outcome[0]["status"] == "OOM" and in_flight > 1:
                short_of_memory.append(job)
            else:
                yield outcome
        for _, outcome in _in_order(work, pool, plan.journal, short_of_memory, 1):  # alone it may fit
            yield outcome
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def _in_order(
    work: Work, pool: Executor, journal: Journal, jobs: Iterable[Job], window: int
) -> Iterator[tuple[Job, Outcome]]:
    """Hands up to `window` photos to the pool, and gives them back in order."""
    waiting: deque[tuple[Job, Future[Outcome]]] = deque()
    for job in jobs:
        if len(waiting) == window:
            first, outcome = waiting.popleft()
            yield first, _result(work, outcome)
        journal.start(job)
        waiting.append((job, pool.submit(work, job)))
    for job, outcome in waiting:
        yield job, _result(work, outcome)


def _result(work: Work, outcome: Future[Outcome]) -> Outcome:
    while not work.stop.is_set():
        if wait([outcome], HEARTBEAT).done:
            return outcome.result()
    work.segmenter.cancel()
    raise StoppedError
