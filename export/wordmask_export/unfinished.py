"""What a build has finished, so that the same build goes on with it after an interruption.

A build writes into the folder OUT.unfinished, which is renamed to OUT at the end. A record in it says which graphs are
exported and compared, and of which build they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wordmask.bundle.manifest import File
from wordmask.system.files import move_folder, write_bytes
from wordmask.system.locks import FileLock
from wordmask_export.graphs.onnx_export import describe
from wordmask_export.parity.pipeline import Figure

SUFFIX, RECORD = ".unfinished", "unfinished.json"


class TargetError(ValueError):
    """The bundle's folder cannot be written or replaced."""


@dataclass(frozen=True)
class Done:
    """A graph that is exported; its figures too once it is compared. Seconds are those of both steps so far."""

    file: File
    seconds: float
    figures: tuple[Figure, ...] | None = None


@dataclass
class Unfinished:
    """The folder of a build under way, and what is finished in it.

    Attributes:
        folder: holds the graphs.
        build: of which build they are; empty until `begin`.
        done: by the graphs' names.
    """

    folder: Path
    build: str = ""
    done: dict[str, Done] = field(default_factory=dict)

    def begin(self, build: str) -> list[str]:
        """Takes up what an earlier start of the same build finished, and removes the rest; gives the graphs' names.

        Args:
            build: a fingerprint.
        """
        found, done = _read_record(self.folder / RECORD)
        self.build = build
        self.done = {name: item for name, item in done.items() if found == build and self._is_there(item)}
        keep = {RECORD, *(item.file.file for item in self.done.values())}
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink()
        self._write_record()
        return list(self.done)

    def add(self, name: str, item: Done) -> None:
        """Records what is finished of a graph."""
        self.done[name] = item
        self._write_record()

    def is_of_use(self) -> bool:
        """Whether a later start may go on with something here."""
        return bool(self.done) or (not self.build and (self.folder / RECORD).is_file())

    def _is_there(self, item: Done) -> bool:
        path = self.folder / item.file.file
        return path.is_file() and describe(path) == item.file

    def _write_record(self) -> None:
        graphs = {name: dataclasses.asdict(item) for name, item in self.done.items()}
        content = json.dumps({"build": self.build, "graphs": graphs}, indent=1)
        write_bytes(self.folder / RECORD, content.encode())


def _read_record(path: Path) -> tuple[str, dict[str, Done]]:
    """Of which build the graphs are, and what is finished; nothing where the record cannot be read."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        done = {name: _read_done(item) for name, item in raw["graphs"].items()}
        return str(raw["build"]), done
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", {}


def _read_done(raw: dict[str, object]) -> Done:
    figures = raw["figures"]
    read = None if figures is None else tuple(Figure(**figure) for figure in figures)  # type: ignore[attr-defined]
    return Done(File(**raw["file"]), float(raw["seconds"]), read)  # type: ignore[arg-type]


@contextlib.contextmanager
def unfinished(out: Path) -> Iterator[Unfinished]:
    """Gives the folder of a build, which has the name `out` when the block ends without an error.

    After an error the folder stays if a graph in it is finished, for the next start.

    Raises:
        TargetError: another process builds there, or the folder is not a build's.
        OSError: the folder cannot be made or renamed.
    """
    place = out.with_name(f"{out.name}{SUFFIX}.lock")
    lock = FileLock(place)
    try:
        if not lock.take():
            raise TargetError(f"{out}: {lock.holder()} is building it: wait for that, or choose another folder")
        work = Unfinished(_own_folder(out))
        try:
            yield work
            (work.folder / RECORD).unlink(missing_ok=True)
            move_folder(work.folder, out, durable=True, replace=True)
        finally:
            if not work.is_of_use():
                shutil.rmtree(work.folder, ignore_errors=True)
            place.unlink(missing_ok=True)
    finally:
        lock.close()


def _own_folder(out: Path) -> Path:
    folder = out.with_name(f"{out.name}{SUFFIX}")
    if folder.exists() and any(folder.iterdir()) and not (folder / RECORD).is_file():
        raise TargetError(f"{folder} is not an unfinished build: remove it, or choose another folder than {out}")
    folder.mkdir(exist_ok=True)
    return folder


def fingerprint(*facts: object) -> str:
    """Tells builds apart: of what it is built from, and of the exporters' own code.

    Args:
        facts: dataclasses, numbers, texts, or lists and dictionaries of these.
    """
    digest = hashlib.sha256(json.dumps(facts, default=dataclasses.asdict, sort_keys=True).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
