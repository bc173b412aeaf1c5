"""journal.jsonl: one row per photo. The next run continues from what a killed run left in it.

A `started` row is written before a photo is processed, a row with its outcome after its outputs have their final names.
The supervisor (see run.supervisor) writes a `died` row when a process was killed. A finished journal holds one row per
photo and nothing else.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from wordmask.errors import OutputError
from wordmask.outputs.rows import DiedRow, PhotoRow, Row, StartedRow, UnfinishedRow, parse_row, row_bytes
from wordmask.photo.job import Job, Stamp
from wordmask.system.files import write_files


@dataclass(frozen=True, slots=True)
class Entry:
    """The part of a photo's row that stays in memory; `offset` is the position of its first byte in the file."""

    photo: str
    status: str
    stamp: Stamp | None
    offset: int


class Journal:
    """A journal on disk. For one thread.

    Attributes:
        finished: photos that have an outcome, by name.
        unfinished: photos that were started and have no outcome: number of processes that died while they worked on
            each, by name.
        at_work: photos started since the file was last rewritten and not finished: path and process, by name.
    """

    def __init__(self, path: Path) -> None:
        """Reads the file if it exists. Lines that are not rows, such as a last one that was cut off, are skipped.

        Raises:
            OutputError: it cannot be read.
        """
        self.path = path
        self.finished: dict[str, Entry] = {}
        self.unfinished: dict[str, int] = {}
        self.at_work: dict[str, tuple[str, int]] = {}
        self._file: BinaryIO | None = None
        try:
            for offset, row in _rows(path):
                self._add(offset, row)
        except OSError as error:
            raise OutputError(f"cannot read {path}: {error.strerror}") from error

    def _add(self, offset: int, row: Row) -> None:
        match row:
            case StartedRow():
                self.unfinished.setdefault(row.name, 0)
                self.at_work[row.name] = row.photo, row.process
            case UnfinishedRow():
                self.unfinished[row.name] = row.deaths
            case DiedRow():
                for name in self.photos_of(row.process):
                    self.unfinished[name] += 1
                    del self.at_work[name]
            case PhotoRow():
                self.finished[row.name] = Entry(row.photo, row.status, row.stamp, offset)
                self.unfinished.pop(row.name, None)
                self.at_work.pop(row.name, None)

    def photos_of(self, process: int) -> dict[str, str]:
        """Paths of the photos that a process has started and not finished, by name."""
        return {name: photo for name, (photo, worker) in self.at_work.items() if worker == process}

    def __enter__(self) -> Journal:
        """Opens the file to append rows; OutputError if that cannot be done."""
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def start(self, job: Job, *, process: int | None = None) -> None:
        """Appends a `started` row; the process is this one by default."""
        worker = os.getpid() if process is None else process
        self.append(StartedRow(photo=str(job.path), name=job.name, process=worker))

    def append(self, row: Row) -> None:
        """Appends a row.

        Raises:
            OutputError: it cannot be written.
        """
        assert self._file is not None
        rest = memoryview(row_bytes(row))
        try:
            offset = self._file.seek(0, 2)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self._add(offset, row)

    def rows(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, PhotoRow]]:
        """Reads the rows of the finished photos among the jobs, in the order of the jobs."""
        with self.path.open("rb") as file:
            for job in jobs:
                if job.name in self.finished:
                    file.seek(self.finished[job.name].offset)
                    row = parse_row(file.readline())
                    assert isinstance(row, PhotoRow)
                    yield job, row

    def compacted(self, jobs: Iterable[Job]) -> Journal:
        """Rewrites the file: rows of finished photos in the order of the jobs, then a row per unfinished photo.

        Returns:
            The journal as rewritten.

        Raises:
            OutputError: it cannot be written.
        """
        unfinished = [UnfinishedRow(name=name, deaths=deaths) for name, deaths in self.unfinished.items()]
        finished = (row for _, row in self.rows(jobs)) if self.finished else ()
        rows: Iterator[Row] = chain(finished, unfinished)
        write_files({self.path: map(row_bytes, rows)})
        return Journal(self.path)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """A journal's rows, each with the offset of its first byte; skips a last line that was cut off."""
    offset = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            row = parse_row(line) if line.endswith(b"\n") else None
            if row is not None:
                yield offset, row
            offset += len(line)


def note_death(path: Path, process: int, signal_name: str) -> None:
    """Appends a `died` row for a process that was writing the journal and may have left a line without its end."""
    try:
        with path.open("ab", buffering=0) as file:
            file.write(b"\n" + row_bytes(DiedRow(process=process, signal=signal_name)))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
