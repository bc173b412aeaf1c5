"""What happens around the photos of a run, whoever works on them: journal, annotations.json, run.json."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from wordmask.bundle.manifest import Manifest
from wordmask.errors import OutputError
from wordmask.outputs.journal import Journal, Row
from wordmask.outputs.resume import Plan, prepare
from wordmask.outputs.store import Store
from wordmask.outputs.summary import OutOfTimeError, Totals, bundle_facts, write_annotations, write_run
from wordmask.photo.job import Job
from wordmask.run.photo_work import Writing, quarantine
from wordmask.types import Options

LAST_WORDS = 1.0  # seconds for the annotations after a stop

Outcome = tuple[Row, tuple[str, ...]]  # a photo's row, and lines that the user should see
WorkOff = Callable[
    [Plan], Generator[Outcome, None, None]
]  # does a plan's suspects and its rest, and says in the journal what it begins


class StoppedError(Exception):
    """The run was asked to stop; what it finished is written."""


class Knows(Protocol):
    """What a segmenter says of itself."""

    @property
    def manifest(self) -> Manifest:
        """Of the bundle."""

    def uses_loftup(self, options: Options) -> bool:
        """Whether LoftUp will run."""

    def upsample(self, options: Options) -> str:
        """Where LoftUp is evaluated if it is."""


@dataclass(frozen=True)
class Run:
    """What a run is about.

    Attributes:
        jobs: the photos.
        words: the classes.
        settings: what was asked for.
        bundle: see outputs.summary.bundle_facts.
        kinds: the outputs that each photo has.
        restart: see outputs.resume.prepare. retry_quarantined: see there.
        tell: takes a line about a photo that deserves one.
        progress: takes the number of photos done, after each.
    """

    jobs: Sequence[Job]
    words: Sequence[str]
    settings: dict[str, Any]
    bundle: dict[str, Any]
    kinds: tuple[str, ...]
    restart: bool
    retry_quarantined: bool
    tell: Callable[[str], None]
    progress: Callable[[int], None]


def all_settings(
    segmenter: Knows, options: Options, writing: Writing, *, lenient: bool, others: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What run.json notes, and what a run that is continued must have had."""
    upsample = segmenter.upsample(options)
    return {**(others or {}), "lenient": lenient, **asdict(options), "upsample": upsample, **asdict(writing)}


def facts(segmenter: Knows, options: Options) -> dict[str, Any]:
    """What run.json says of the bundle."""
    return bundle_facts(segmenter.manifest, loftup=segmenter.uses_loftup(options))


def carry_out(run: Run, out: Store, work_off: WorkOff) -> Totals:
    """Does what an earlier run left to do, in an output folder that is locked.

    Raises:
        OutputError: the outputs cannot be written; a later run can continue this one.
        ResumeError: the folder holds another run.
        BaseException: whatever work_off raises. What is finished is written.
    """
    compared = {**run.settings, "bundle": run.bundle["id"]}
    plan = prepare(out, run.jobs, compared, run.kinds, restart=run.restart, retry_quarantined=run.retry_quarantined)
    record = _Record(run, out, plan.journal)
    record.summarise(finished=False)
    try:
        record.take_down(plan, work_off)
    except BaseException as error:
        if not isinstance(error, OutputError):  # what is finished can be used
            record.write_annotations(until=time.monotonic() + LAST_WORDS)
            record.summarise(finished=False)
        raise
    record.journal = plan.journal.compacted(run.jobs)
    record.write_annotations()
    return record.summarise(finished=True)


class _Record:
    """What a run under way has come to. The photos are worked on elsewhere; everything here happens in one thread."""

    def __init__(self, run: Run, out: Store, journal: Journal) -> None:
        self.run, self.out, self.journal = run, out, journal
        self.begin, self.done_before = time.perf_counter(), len(journal.finished)

    def take_down(self, plan: Plan, work_off: WorkOff) -> None:
        """Writes the rows of what is left to do, as it is done."""
        if self.done_before:
            self.run.tell(f"continued: {self.done_before} of {len(self.run.jobs)} photos are done")
            self.run.progress(self.done_before)
        with self.journal, contextlib.closing(work_off(plan)) as outcomes:
            for job in plan.quarantined:
                row = quarantine(job)
                self._finish(row, (f"{row['status']}: {row['error']}",))
            for outcome in outcomes:
                self._finish(*outcome)

    def _finish(self, row: Row, said: tuple[str, ...]) -> None:
        self.journal.append(row)
        for line in said:
            self.run.tell(line)
        self.run.progress(len(self.journal.finished))

    def write_annotations(self, *, until: float | None = None) -> None:
        """annotations.json, if there is time for it."""
        try:
            write_annotations(self.out, self.run.words, self.journal, self.run.jobs, until=until)
        except OutOfTimeError:
            self.run.tell("annotations.json is not complete: the next run writes it")

    def summarise(self, *, finished: bool) -> Totals:
        """run.json."""
        totals = Totals.of(row for _, row in self.journal.rows(self.run.jobs))
        seconds = time.perf_counter() - self.begin
        photos = totals.statuses.total() - self.done_before
        settings, bundle = self.run.settings, self.run.bundle
        write_run(self.out, settings, bundle, totals, finished=finished, photos=photos, seconds=seconds)
        return totals
