"""Walks folders of photos: each folder once, linked ones too, and says what is left out."""

from __future__ import annotations

import heapq
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wordmask.photo.suffixes import is_hidden, is_photo_name

MOST_NAMED = 5  # in a message
# Names in a folder of results, which hold no photos: wordmask.outputs.layout says what they are.
JOURNAL, RUN = "journal.jsonl", "run.json"
CONVERTED = ".wordmask-convert.json"
RESULT_FOLDERS = frozenset(
    ("semantic", "dense", "bilinear", "confidence", "overlay", "annotations", "report_assets", "intermediate")
)
RUN_MARKS = frozenset((JOURNAL, RUN))
logger = logging.getLogger(__name__)


@dataclass
class LeftOut:
    """What a search for photos does not take."""

    hidden: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    nowhere: list[str] = field(default_factory=list)
    special: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)

    def warn(self) -> None:
        """Logs a line for each kind that there is."""
        for what, paths in (
            ("left out, hidden or of the system", self.hidden),
            ("left out, folders with results of wordmask", self.runs),
            ("left out, folders that cannot be listed", self.closed),
            ("left out, links that lead nowhere", self.nowhere),
            ("skipped, pipes, sockets or devices", self.special),
            ("taken once, named more than once", self.repeated),
        ):
            if paths:
                logger.warning("%s: %d (%s)", what, len(paths), _some(paths))


def _some(paths: list[str]) -> str:
    named = [repr(path) for path in paths[:MOST_NAMED]]
    return ", ".join([*named, "..."] if len(paths) > MOST_NAMED else named)


@dataclass(frozen=True)
class PhotoFolders:
    """A search for photos in folders.

    Attributes:
        recursive: search their folders too, and those that are linked there.
        output: the run's output, whose results are no photos; None where it is elsewhere.
        left_out: what was not taken.
        visited: real paths of the folders that were listed.
    """

    recursive: bool
    output: str | None
    left_out: LeftOut
    visited: set[str] = field(default_factory=set)

    def photos(self, folder: Path) -> list[Path]:
        """The photos of a folder, sorted; none if it was listed before.

        What a folder holds itself has its own path, though a link may lead there too.

        Raises:
            ValueError: it cannot be listed.
        """
        found: list[Path] = []
        real = os.path.realpath(folder)
        if real in self.visited:
            self.left_out.repeated.append(str(folder))
        waiting, links = [(folder, real)], list[tuple[Path, str]]()
        while waiting or links:
            path, real = waiting.pop() if waiting else heapq.heappop(links)
            if real in self.visited or (path != folder and self._holds_results(path, real)):
                continue
            self.visited.add(real)
            for entry in self._entries(path, real, top=path == folder):
                inside = path / entry.name
                if self._is_folder(entry) and (self.recursive or not is_photo_name(entry.name)):
                    self._enter(entry, inside, real, waiting, links)
                elif self._is_photo(entry, inside):
                    found.append(inside)
        return sorted(found)

    def _enter(
        self,
        entry: os.DirEntry[str],
        path: Path,
        parent: str,
        waiting: list[tuple[Path, str]],
        links: list[tuple[Path, str]],
    ) -> None:
        """Notes a folder to be listed."""
        if not self.recursive:
            return
        if is_hidden(entry.name):
            self.left_out.hidden.append(str(path))
        elif entry.is_symlink():
            heapq.heappush(links, (path, os.path.realpath(path)))
        else:
            waiting.append((path, f"{parent}{os.sep}{entry.name}"))

    def _entries(self, path: Path, real: str, *, top: bool) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(path) as listing:
                entries = list(listing)
        except OSError as error:
            if top:
                raise ValueError(f"{path} cannot be listed ({error.strerror}): check its permissions") from error
            self.left_out.closed.append(str(path))
            return
        names = {entry.name for entry in entries}
        results = top and self.recursive and (real == self.output or names >= RUN_MARKS)
        for entry in entries:
            if results and entry.name in RESULT_FOLDERS and self._is_folder(entry):
                self.left_out.runs.append(str(path / entry.name))
            else:
                yield entry

    def _holds_results(self, path: Path, real: str) -> bool:
        """Whether a folder below is this run's output or that of an earlier run; notes it if so."""
        marked = all((path / mark).is_file() for mark in RUN_MARKS) or (path / CONVERTED).is_file()
        if real != self.output and not marked:
            return False
        self.left_out.runs.append(str(path))
        return True

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir()
        except OSError:  # a link that leads to itself
            return False

    def _is_photo(self, entry: os.DirEntry[str], path: Path) -> bool:
        if not is_photo_name(entry.name):
            if entry.is_symlink() and not path.suffix and not path.exists():
                self.left_out.nowhere.append(str(path))
            return False
        if is_hidden(entry.name):
            self.left_out.hidden.append(str(path))
            return False
        if _would_block(path):
            self.left_out.special.append(str(path))
            return False
        return True


def _would_block(file: Path) -> bool:
    try:
        mode = file.stat().st_mode
    except OSError:
        return False  # reading it gives the error
    return any(is_kind(mode) for is_kind in (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR, stat.S_ISBLK))


def result_folders(paths: Iterable[str]) -> set[str]:
    """Of slashed paths of files, the folders that hold results of wordmask."""
    marks: dict[str, set[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition("/")
        marks.setdefault(folder, set()).update({name} & {*RUN_MARKS, CONVERTED})
    return {folder for folder, names in marks.items() if names >= RUN_MARKS or CONVERTED in names}
