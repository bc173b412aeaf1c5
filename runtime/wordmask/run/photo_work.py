"""Everything that is done for one photo of a run: decoding, segmenting, writing, and what its errors mean."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from threading import Event

import numpy as np
from numpy.typing import NDArray

from wordmask.errors import PhotoError, WordmaskError
from wordmask.formats import pictures
from wordmask.formats.explanation import remarks
from wordmask.formats.overlay import draw
from wordmask.outputs.layout import SHARDS, output_paths
from wordmask.outputs.photo_annotations import annotations_bytes
from wordmask.outputs.rows import DoneRow, FailedRow, PhotoRow, stamp_fields
from wordmask.outputs.store import Store
from wordmask.photo.failures import photo_failure
from wordmask.photo.job import Job, Stamp
from wordmask.photo.reading import Photo
from wordmask.pipeline import Segmenter
from wordmask.run.find_photos import load_unchanged
from wordmask.run.request import RunRequest
from wordmask.timing import StageTimer
from wordmask.types import Segmentation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a photo: its row of the journal, and messages for the user."""

    row: PhotoRow
    messages: tuple[str, ...] = ()

    @property
    def out_of_memory(self) -> bool:
        """Whether the photo did not fit into memory; processed alone it may."""
        return self.row.status == "OOM"


@dataclass(frozen=True)
class PhotoProcessor:
    """Decodes and segments photos and writes their outputs. Called from several threads."""

    segmenter: Segmenter
    request: RunRequest
    out: Store
    stop: Event

    def __call__(self, job: Job) -> Outcome:
        """Processes a photo.

        Raises:
            OutputError: its outputs cannot be written.
            WordmaskError: an error that every photo would meet, such as a device that is gone.
            Exception: any, once `stop` is set.
        """
        try:
            return self._processed(job)
        except Exception as error:
            # a stop ends graph runs with errors that have nothing to do with the photo
            failure = None if self.stop.is_set() else failure_of(error)
            if failure is None:
                raise
            return _failed(job, failure.code, str(failure), stamp=job.stamp)

    def _processed(self, job: Job) -> Outcome:
        request, timer = self.request, StageTimer()
        with timer.measure("decode"):
            photo = load_unchanged(job, request.reading)
        result = self.segmenter.segment(photo.pixels, request.queries, request.options, timer)
        bilinear = None
        if request.outputs.report and self.segmenter.uses_loftup(request.options):
            with timer.measure("bilinear_map"):
                bilinear = self._bilinear(photo)
        with timer.measure("write"):
            self._write(job, photo, result, bilinear)
        messages = remarks(photo.notes, result, request.options)
        row = DoneRow.of(str(job.path), job.name, job.stamp, replace(result, seconds=timer.seconds), photo.notes)
        return Outcome(row, tuple(f"{job.path}: {message}" for message in messages))

    def _bilinear(self, photo: Photo) -> NDArray[np.uint16]:
        """The class map without LoftUp, for comparison; coded as Segmentation.dense."""
        queries, options = self.request.queries, replace(self.request.options, use_loftup=False)
        return self.segmenter.class_map(photo.pixels, queries, options).labels(len(queries.vocabulary.classes))

    def _write(self, job: Job, photo: Photo, result: Segmentation, bilinear: NDArray[np.uint16] | None) -> None:
        words, outputs, paths = len(result.words), self.request.outputs, output_paths(job.name)
        size = photo.pixels.shape[0], photo.pixels.shape[1]
        contents = {
            "semantic": pictures.label_png(result.semantic, words),
            SHARDS: annotations_bytes(str(job.path), size, result.instances),
        }
        if outputs.save_dense or outputs.report:
            contents["dense"] = pictures.label_png(result.dense, words)
        if bilinear is not None:
            contents["bilinear"] = pictures.label_png(bilinear, words)
        if outputs.save_dense:
            contents["confidence"] = pictures.confidence_png(result.confidence)
        if outputs.overlay:
            contents["overlay"] = pictures.jpeg(draw(photo.pixels, result))
        self.out.write({paths[kind]: [content] for kind, content in contents.items()})


def failure_of(error: Exception) -> PhotoError | None:
    """The PhotoError of a photo that raised this error; None if every photo would raise it."""
    failure = photo_failure(error)
    if failure is not None or isinstance(error, WordmaskError):
        return failure
    logger.error("this should not happen, please report it", exc_info=error)
    return PhotoError("INTERNAL", f"{type(error).__name__}: {error}")


def quarantined(job: Job) -> Outcome:
    """The outcome of a photo at which the process died more than once."""
    error = f"{str(job.path)!r}: the process died twice at work on it; --retry-quarantined tries it again"
    return _failed(job, "QUARANTINED", error, stamp=None)


def _failed(job: Job, status: str, error: str, *, stamp: Stamp | None) -> Outcome:
    row = FailedRow(photo=str(job.path), name=job.name, **stamp_fields(stamp), status=status, error=error)
    return Outcome(row, (f"{status}: {error}",))
