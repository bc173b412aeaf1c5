"""The rows of journal.jsonl: a dataclass for each kind, whose fields stand in the file in this order."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypedDict

from wordmask.formats.json import json_bytes
from wordmask.outputs.names import LONGEST
from wordmask.photo.job import Stamp
from wordmask.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class StartedRow:
    """A process is about to work on a photo."""

    photo: str
    name: str
    status: str = "started"
    process: int


@dataclass(frozen=True, kw_only=True)
class UnfinishedRow:
    """An earlier run began a photo and did not finish it; `deaths` processes died at work on it."""

    name: str
    status: str = "unfinished"
    deaths: int


@dataclass(frozen=True, kw_only=True)
class DiedRow:
    """A process that wrote the journal died of a signal."""

    status: str = "died"
    process: int
    signal: str


@dataclass(frozen=True, kw_only=True)
class PhotoRow:
    """The outcome of a photo.

    Attributes:
        photo: path or URL as the run was given it.
        name: of its outputs (see wordmask.photo.job).
        bytes: size of the file; None if unknown. modified_ns: likewise, time of its last change in nanoseconds.
        etag: of an object in a store that gives one; modified_ns is None then.
        status: "ok", or the code of a PhotoError.
    """

    photo: str
    name: str
    bytes: int | None = None
    modified_ns: int | None = None
    etag: str | None = None
    status: str

    @property
    def stamp(self) -> Stamp | None:
        """See wordmask.photo.job, when the photo was processed; None if unknown."""
        seen = self.modified_ns if self.etag is None else self.etag
        return None if self.bytes is None or seen is None else (self.bytes, seen)


@dataclass(frozen=True, kw_only=True)
class DoneRow(PhotoRow):
    """A photo that has results: height and width in pixels, numbers of masks and SAM2 prompts, seconds by stage.

    `notes` are the decoder's warnings, `word_confidence` is the highest probability of each word at any pixel.
    """

    status: str = "ok"
    notes: Sequence[str]
    height: int
    width: int
    instances: int
    prompts: int
    word_confidence: Mapping[str, float]
    seconds: Mapping[str, float]

    @classmethod
    def of(cls, photo: str, name: str, stamp: Stamp | None, result: Segmentation, notes: Sequence[str]) -> DoneRow:
        """The row of a result."""
        return cls(
            photo=photo,
            name=name,
            **stamp_fields(stamp),
            notes=notes,
            height=result.semantic.shape[0],
            width=result.semantic.shape[1],
            instances=len(result.instances),
            prompts=result.prompt_count,
            word_confidence={
                word: round(value, 4) for word, value in zip(result.words, result.word_confidence, strict=True)
            },
            seconds={stage: round(value, 4) for stage, value in sorted(result.seconds.items())},
        )


@dataclass(frozen=True, kw_only=True)
class FailedRow(PhotoRow):
    """A photo that has no results, with the error's message."""

    error: str


class StampFields(TypedDict, total=False):
    """The fields of a row that hold a stamp."""

    bytes: int
    modified_ns: int
    etag: str


def stamp_fields(stamp: Stamp | None) -> StampFields:
    """A stamp as fields of a PhotoRow."""
    if stamp is None:
        return {}
    size, seen = stamp
    return {"bytes": size, "etag": seen} if isinstance(seen, str) else {"bytes": size, "modified_ns": seen}


Row = StartedRow | UnfinishedRow | DiedRow | PhotoRow


def row_bytes(row: Row) -> bytes:
    """A row as a line of the journal; fields that are None are left out."""
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    return json_bytes({name: value for name, value in values.items() if value is not None})


def parse_row(line: bytes) -> Row | None:
    """Reads a line of a journal of unknown origin; None if no run wrote it, such as a line that was cut off."""
    try:
        raw = json.loads(line)
        kind = _KINDS.get(raw["status"], FailedRow)
        values = {field.name: raw[field.name] for field in fields(kind) if field.name in raw}
        return kind(**values) if all(_VALID[name](value) for name, value in values.items()) else None
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _is_name(value: Any) -> bool:
    """Whether a file can have this name and lies inside the folder: outputs of this name are removed."""
    if not isinstance(value, str) or Path(value).is_absolute():
        return False
    parts = [os.fsencode(part) for part in Path(value).parts]  # UnicodeEncodeError is a ValueError
    return bool(parts) and all(part != b".." and len(part) <= LONGEST and b"\0" not in part for part in parts)


def _is_int(value: Any) -> bool:
    return type(value) is int and -1 << 63 <= value < 1 << 63


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 0


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(type(number) is float and 0 <= number < 1e9 for number in value.values())


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


_KINDS: dict[str, type[Row]] = {"started": StartedRow, "unfinished": UnfinishedRow, "died": DiedRow, "ok": DoneRow}
_VALID: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("photo", "etag", "status", "error", "signal"), lambda value: isinstance(value, str)),
    **dict.fromkeys(("process", "deaths", "height", "width", "instances", "prompts"), _is_count),
    **dict.fromkeys(("bytes", "modified_ns"), _is_int),
    **dict.fromkeys(("word_confidence", "seconds"), _are_numbers),
    "name": _is_name,
    "notes": _are_texts,
}
