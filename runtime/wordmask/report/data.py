"""What a report shows of each photo: its row of the journal, its annotations and its pictures, read from the folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from wordmask.errors import OutputError
from wordmask.formats.overlay import is_large
from wordmask.formats.word_colours import Colour, word_colours
from wordmask.outputs.layout import SHARDS, output_paths
from wordmask.outputs.photo_annotations import PhotoAnnotations
from wordmask.outputs.rows import DoneRow, PhotoRow
from wordmask.outputs.run_record import RunRecord
from wordmask.photo.job import Job
from wordmask.photo.options import ReadOptions
from wordmask.report.pictures import Shape, make_pictures
from wordmask.report.svg_outlines import GRID, grid_size, outline, svg_path
from wordmask.types import Instance


@dataclass(frozen=True)
class Found:
    """An object of a photo.

    Attributes:
        class_index: into the run's words.
        score: see Instance, likewise clip_confidence, sam_iou and agreement.
        points: x, y in units of the grid (see svg_outlines), and the label, of each prompt point.
        path: its outline as the d of an SVG path, in the same units.
        large: whether it is outlined and not filled, so that the photo stays visible.
    """

    class_index: int
    score: float
    clip_confidence: float
    sam_iou: float
    agreement: float
    points: tuple[tuple[int, int, int], ...]
    path: str
    large: bool = False


@dataclass(frozen=True)
class ReportPhoto:
    """A photo.

    Attributes:
        row: of the journal.
        size: height and width of its grid; None if it failed.
        objects: in falling score.
        pictures: addresses relative to the report, by the last part of their kind (`photos`, `thumbs`, ...).
    """

    row: PhotoRow
    size: tuple[int, int] | None = None
    objects: tuple[Found, ...] = ()
    pictures: Mapping[str, str] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether it has an error code instead of results."""
        return not isinstance(self.row, DoneRow)


@dataclass(frozen=True)
class Run:
    """All that a report shows.

    Attributes:
        words: the classes.
        record: the settings, models and totals.
        photos: in the run's order.
    """

    words: tuple[str, ...]
    record: RunRecord
    photos: tuple[ReportPhoto, ...]


def read_photo(out: Path, job: Job, row: PhotoRow, words: Sequence[str], reading: ReadOptions) -> ReportPhoto:
    """A photo of a finished run; pictures that are missing are made.

    Raises:
        OutputError: its annotations cannot be read, or a picture cannot be written.
    """
    if not isinstance(row, DoneRow):
        return ReportPhoto(row)
    path = out / output_paths(job.name)[SHARDS]
    try:
        annotations = PhotoAnnotations.parse(path.read_bytes())
        colours = word_colours(words)
        seen = [
            _object(instance, annotations.size, colours[instance.class_index])
            for instance in annotations.instances(words)
        ]
    except (OSError, ValueError) as error:
        raise OutputError(f"{path} cannot be read ({error}): remove it and run again") from error
    size = annotations.size
    pictures = make_pictures(out, job.name, job.file, size, [shape for _, shape in seen], words, reading)
    addresses = {kind.rpartition("/")[2]: _address(place.relative_to(out)) for kind, place in pictures.items()}
    return ReportPhoto(row, grid_size(size), tuple(found for found, _ in seen), addresses)


def _object(instance: Instance, size: tuple[int, int], colour: Colour) -> tuple[Found, Shape]:
    large = is_large(instance, size)
    contours = outline(instance.mask, instance.box)
    scale = GRID / max(size)
    pairs = zip(instance.points.tolist(), instance.labels.tolist(), strict=True)
    found = Found(
        class_index=instance.class_index,
        score=instance.score,
        clip_confidence=instance.clip_confidence,
        sam_iou=instance.sam_iou,
        agreement=instance.agreement,
        points=tuple((round((px + 0.5) * scale), round((py + 0.5) * scale), label) for (px, py), label in pairs),
        path=svg_path(contours),
        large=large,
    )
    return found, Shape(colour, contours, large)


def _address(path: Path) -> str:
    """A relative URL, percent-encoded from the bytes of the path, which need not be Unicode."""
    return quote(os.fsencode(path))
