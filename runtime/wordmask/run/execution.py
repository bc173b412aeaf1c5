"""Runs the workers, on this machine or a cluster, and writes journal, annotations.json and run.json."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Protocol

from wordmask.errors import OutputError
from wordmask.outputs.joined_annotations import OutOfTimeError, write_annotations
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import RUN
from wordmask.outputs.resume import Plan, prepare
from wordmask.outputs.run_record import RunRecord
from wordmask.outputs.store import Store
from wordmask.run.photo_work import Outcome, quarantined
from wordmask.run.request import RunControl, RunRequest, SegmenterInfo

ANNOTATIONS_TIMEOUT = 1.0  # seconds for annotations.json after a stop


class StoppedError(Exception):
    """The run was asked to stop; what it finished is written."""


class PhotoWorkers(Protocol):
    """Processes photos, in threads of this process or on a cluster."""

    def process_photos(self, plan: Plan) -> Generator[Outcome, None, None]:
        """Processes the plan, suspected crashers one at a time; logs a `started` row before each photo.

        Yields:
            The photos' outcomes, in any order.

        Raises:
            OutputError: the outputs cannot be written.
            StoppedError: the run was asked to stop.
            WordmaskError: an error that every photo would meet.
        """


def execute(
    request: RunRequest, info: SegmenterInfo, out: Store, workers: PhotoWorkers, control: RunControl
) -> RunRecord:
    """Processes the photos that no earlier run finished. The output folder is locked.

    Raises:
        OutputError: the outputs cannot be written; a later run can continue this one.
        ResumeError: the folder holds another run.
        BaseException: whatever the workers raise. What is finished is written.
    """
    plan = prepare(
        out,
        request.jobs,
        {**request.recorded_settings(info), "bundle": info.manifest.bundle_id},
        request.kinds,
        restart=request.restart,
        reuse=request.reuse,
        retry_quarantined=request.retry_quarantined,
    )
    record = _Record(request, info, out, control, plan.journal)
    record.summarise(finished=False)
    try:
        record.record_outcomes(plan, workers)
    except BaseException as error:
        if not isinstance(error, OutputError):  # what is finished can be used
            record.write_annotations(until=time.monotonic() + ANNOTATIONS_TIMEOUT)
            record.summarise(finished=False)
        raise
    record.journal = plan.journal.compacted(request.jobs)
    record.write_annotations()
    return record.summarise(finished=True)


class _Record:
    """The files about a run as a whole. For one thread; workers process the photos elsewhere."""

    def __init__(
        self, request: RunRequest, info: SegmenterInfo, out: Store, control: RunControl, journal: Journal
    ) -> None:
        self.request, self.info, self.out, self.control, self.journal = request, info, out, control, journal
        self.objects: Mapping[str, int] = {}
        self.begin, self.done_before = time.perf_counter(), len(journal.finished)
        self.reused: Counter[tuple[str, bool]] = Counter()

    def record_outcomes(self, plan: Plan, workers: PhotoWorkers) -> None:
        """Appends a row to the journal for each photo as it is finished."""
        if self.done_before:
            self.control.log(f"continued: {self.done_before} of {len(self.request.jobs)} photos are done")
            self.control.progress(self.done_before)
        with self.journal, contextlib.closing(workers.process_photos(plan)) as outcomes:
            for job in plan.quarantined:
                self._finish(quarantined(job))
            for outcome in outcomes:
                self._finish(outcome)
        for kind in sorted({kind for kind, _ in self.reused}):
            name = kind.rpartition("/")[2].replace("_", " ")
            self.control.log(f"{name}: {self.reused[kind, True]} reused, {self.reused[kind, False]} computed anew")

    def _finish(self, outcome: Outcome) -> None:
        self.journal.append(outcome.row)
        self.reused.update(outcome.reused.items())
        for message in outcome.messages:
            self.control.log(message)
        self.control.progress(len(self.journal.finished))

    def write_annotations(self, *, until: float | None = None) -> None:
        """Writes annotations.json, unless that takes longer than `until`."""
        words = self.request.queries.vocabulary.names
        try:
            self.objects = write_annotations(self.out, words, self.journal, self.request.jobs, until=until)
        except OutOfTimeError:
            self.control.log("annotations.json is not complete: the next run writes it")

    def summarise(self, *, finished: bool) -> RunRecord:
        """Writes run.json."""
        record = RunRecord.of(
            (row for _, row in self.journal.rows(self.request.jobs)),
            self.request.recorded_settings(self.info),
            self.info.bundle,
            finished=finished,
            done_before=self.done_before,
            seconds=time.perf_counter() - self.begin,
            objects=self.objects,
        )
        self.out.write({RUN: [record.to_bytes()]})
        return record
