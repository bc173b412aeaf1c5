"""Reads a finished run's output folder, photo by photo. Its content is checked: others may have edited it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wordmask.errors import ConversionError
from wordmask.formats.coco import words_of_document
from wordmask.outputs.layout import ANNOTATIONS, JOURNAL, RUN, SHARDS, output_paths
from wordmask.outputs.photo_annotations import PhotoAnnotations
from wordmask.outputs.rows import DoneRow, parse_row
from wordmask.outputs.run_record import RunRecord
from wordmask.types import Instance

_FIRST_LINE = 1 << 27  # bytes of annotations.json's first line: any list of words is shorter


@dataclass(frozen=True)
class PhotoEntry:
    """A photo that has results: see RunPhoto."""

    number: int
    name: str
    path: str


@dataclass(frozen=True)
class RunPhoto(PhotoEntry):
    """A photo of a run.

    Attributes:
        number: its id in the run's annotations.json, from 1.
        name: of its outputs, a relative path without suffix that stays below any folder.
        path: the photo as the run was given it.
        size: (height, width) as displayed.
        objects: in falling score.
    """

    size: tuple[int, int]
    objects: tuple[Instance, ...]


@dataclass(frozen=True)
class FinishedRun:
    """A run's output folder.

    Attributes:
        out: the folder.
        words: the class names.
        record: its run.json.
    """

    out: Path
    words: tuple[str, ...]
    record: RunRecord

    @classmethod
    def open(cls, out: Path) -> FinishedRun:
        """Reads the folder's summary.

        Raises:
            ConversionError: it holds no run, or one that is not finished.
        """
        try:
            record = RunRecord.parse((out / RUN).read_bytes())
        except FileNotFoundError as error:
            raise ConversionError(f"{out} holds no {RUN}: give the --output folder of a wordmask run") from error
        except (OSError, ValueError) as error:
            raise ConversionError(f"{out / RUN} cannot be read ({error}): run into the folder again") from error
        if not record.finished:
            raise ConversionError(f"the run in {out} is not finished: the same wordmask run command finishes it")
        return cls(out, _words(out / ANNOTATIONS), record)

    def entries(self) -> Iterator[PhotoEntry]:
        """The photos that have results, in the run's order.

        Raises:
            ConversionError: the journal cannot be read.
        """
        path = self.out / JOURNAL
        try:
            with path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    row = parse_row(line)
                    if row is None:
                        found = f"line {number} of {path} is not a row that a run writes"
                        raise ConversionError(f"{found}: run into the folder again")
                    if isinstance(row, DoneRow):
                        yield PhotoEntry(number, row.name, row.photo)
        except OSError as error:
            raise ConversionError(f"{path} cannot be read ({error!r}): run into the folder again") from error

    def read(self, entry: PhotoEntry) -> RunPhoto:
        """A photo's results.

        Raises:
            ConversionError: they are missing, or not what a run writes.
        """
        path = self.out / output_paths(entry.name)[SHARDS]
        try:
            found = PhotoAnnotations.parse(path.read_bytes())
            objects = found.instances(self.words)
        except (OSError, ValueError) as error:
            raise ConversionError(f"{str(path)!r} cannot be read ({error}): run into the folder again") from error
        return RunPhoto(entry.number, entry.name, entry.path, found.size, objects)


def _words(path: Path) -> tuple[str, ...]:
    try:
        with path.open("rb") as file:
            return words_of_document(file.readline(_FIRST_LINE))
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} does not begin with the words ({error}): run into the folder again") from error
