"""journal.jsonl: a line a photo. What a killed run leaves in it tells the next one where to go on.

Before a photo is touched, a row says `started`; after its outputs stand under their names, a row tells how it ended. A
`died` row is written by who watched the process go (see run.supervisor). A finished journal holds the photos' rows
alone.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from wordmask.errors import OutputError
from wordmask.files import write_files
from wordmask.formats.json import json_bytes
from wordmask.outputs.names import LONGEST
from wordmask.photo.job import Job, Stamp

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is remembered of a photo's row: `place` is where it begins in the file."""

    photo: str
    status: str
    stamp: Stamp | None
    place: int


class Journal:
    """A journal on disk. For one thread.

    Attributes:
        finished: photos with a row that tells how they ended, by name.
        unfinished: names of the other photos that were begun, and how often the process died at work on them.
        at_work: photos begun since the last rewriting and not finished, by name, with the process that did.
    """

    def __init__(self, path: Path) -> None:
        """Reads what is there, if anything. Lines that are no rows, such as a torn last one, are passed over.

        Raises:
            OutputError: it cannot be read.
        """
        self.path = path
        self.finished: dict[str, Entry] = {}
        self.unfinished: dict[str, int] = {}
        self.at_work: dict[str, tuple[str, int]] = {}
        self._file: BinaryIO | None = None
        try:
            for place, row in _rows(path):
                self._take(place, row)
        except OSError as error:
            raise OutputError(f"cannot read {path}: {error.strerror}") from error

    def _take(self, place: int, row: Row) -> None:
        status, name = row["status"], row.get("name", "")
        if status == "started":
            self.unfinished.setdefault(name, 0)
            self.at_work[name] = row["photo"], row["process"]
        elif status == "unfinished":
            self.unfinished[name] = row["deaths"]
        elif status == "died":
            for worked_on in self.photos_of(row["process"]):
                self.unfinished[worked_on] += 1
                del self.at_work[worked_on]
        else:
            seen = (row["bytes"], row["modified_ns"]) if "modified_ns" in row and "bytes" in row else None
            self.finished[name] = Entry(row["photo"], status, seen, place)
            self.unfinished.pop(name, None)
            self.at_work.pop(name, None)

    def photos_of(self, process: int) -> dict[str, str]:
        """The paths of the photos that a process is at work on, by name."""
        return {name: photo for name, (photo, worker) in self.at_work.items() if worker == process}

    def __enter__(self) -> Journal:
        """Opens it for more rows."""
        self._file = self.path.open("ab", buffering=0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def start(self, job: Job, *, process: int | None = None) -> None:
        """Notes that a photo is about to be worked on, by this process if no other is named."""
        worker = os.getpid() if process is None else process
        self.append({"photo": str(job.path), "name": job.name, "status": "started", "process": worker})

    def append(self, row: Row) -> None:
        """Adds a row.

        Raises:
            OutputError: it cannot be written.
        """
        assert self._file is not None
        rest = memoryview(json_bytes(row))
        try:
            place = self._file.seek(0, 2)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror}") from error
        self._take(place, row)

    def rows(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Row]]:
        """The finished photos among the jobs, in their order, each with its row."""
        with self.path.open("rb") as file:
            for job in jobs:
                if job.name in self.finished:
                    file.seek(self.finished[job.name].place)
                    yield job, json.loads(file.readline())

    def compacted(self, jobs: Iterable[Job]) -> Journal:
        """Rewrites the file: the finished photos' rows in the jobs' order, then a row for each unfinished photo.

        Returns:
            What stands there now.

        Raises:
            OutputError: it cannot be written.
        """
        marks = [{"name": name, "status": "unfinished", "deaths": deaths} for name, deaths in self.unfinished.items()]
        finished = (row for _, row in self.rows(jobs)) if self.finished else ()
        write_files({self.path: (json_bytes(row) for row in chain(finished, marks))})
        return Journal(self.path)


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """A journal's rows and where each begins."""
    place = 0
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        for line in file:
            row = _parsed(line)
            if row is not None:
                yield place, row
            place += len(line)


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if line.endswith(b"\n") and _is_row(row) else None


def _is_row(row: Any) -> bool:
    """Whether a run may have written this: nothing else is taken in from a journal of unknown origin."""
    if not isinstance(row, dict) or not isinstance(row.get("status"), str):
        return False
    return all(fits(row.get(key)) for key, fits in NEEDED.get(row["status"], NEEDED_OF_FAILED).items())


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    """Outputs of this name are cleared away: it must be one that a file can have, and not point out of the folder."""
    if not isinstance(value, str) or Path(value).is_absolute():
        return False
    try:
        parts = [os.fsencode(part) for part in Path(value).parts]
    except UnicodeEncodeError:
        return False
    return bool(parts) and all(part != b".." and len(part) <= LONGEST and b"\0" not in part for part in parts)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _are_seconds(value: Any) -> bool:
    return isinstance(value, dict) and all(type(number) is float and 0 <= number < 1e9 for number in value.values())


# What is read of a row, by its status.
NEEDED: dict[str, dict[str, Callable[[Any], bool]]] = {
    "started": {"photo": _is_text, "name": _is_name, "process": _is_count},
    "unfinished": {"name": _is_name, "deaths": _is_count},
    "died": {"process": _is_count},
    "ok": {"photo": _is_text, "name": _is_name, "instances": _is_count, "prompts": _is_count, "seconds": _are_seconds},
}
NEEDED_OF_FAILED: dict[str, Callable[[Any], bool]] = {"photo": _is_text, "name": _is_name}


def note_death(path: Path, process: int, signal_name: str) -> None:
    """Notes in a journal that a process that wrote it died of a signal; its last line may be torn."""
    with path.open("ab", buffering=0) as file:
        file.write(b"\n" + json_bytes({"status": "died", "process": process, "signal": signal_name}))
