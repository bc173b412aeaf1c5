"""Everything that is done for one photo of a run: decoding, segmenting, writing, and what its errors mean."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from threading import Event

import numpy as np
from numpy.typing import NDArray

from wordmask.errors import PhotoError, WordmaskError
from wordmask.formats import pictures
from wordmask.formats.explanation import remarks
from wordmask.formats.overlay import draw
from wordmask.outputs.layout import BILINEAR_MAPS, CLASS_MAPS, ENCODINGS, SHARDS, output_paths
from wordmask.outputs.photo_annotations import annotations_bytes
from wordmask.outputs.rows import DoneRow, FailedRow, PhotoRow, stamp_fields
from wordmask.outputs.store import Store
from wordmask.photo.failures import photo_failure
from wordmask.photo.job import Job, Stamp
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import Photo
from wordmask.pipeline import Segmenter
from wordmask.run.find_photos import load_unchanged
from wordmask.run.intermediate import Intermediate, IntermediateFiles, analyse, bilinear_labels
from wordmask.run.request import RunRequest, SegmenterInfo
from wordmask.timing import StageTimer
from wordmask.types import Segmentation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Attributes:
        row: of the journal.
        messages: for the user.
        reused: whether the kept one was used, by kind of what is known before the prompts; empty without request.reuse.
    """

    row: PhotoRow
    messages: tuple[str, ...] = ()
    reused: Mapping[str, bool] = field(default_factory=dict)

    @property
    def out_of_memory(self) -> bool:
        """Whether the photo did not fit into memory; processed alone it may."""
        return self.row.status == "OOM"


@dataclass(frozen=True)
class _LazyPhoto:
    """A photo of a run, decoded when its pixels are needed; the timer takes the seconds."""

    job: Job
    reading: ReadOptions
    timer: StageTimer

    @cached_property
    def decoded(self) -> Photo:
        with self.timer.measure("decode"):
            return load_unchanged(self.job, self.reading)


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

    @cached_property
    def _files(self) -> IntermediateFiles:
        info = SegmenterInfo.of(self.segmenter, self.request.options)
        return IntermediateFiles.of(self.request, info, self.out)

    def _processed(self, job: Job) -> Outcome:
        request, timer = self.request, StageTimer()
        photo = _LazyPhoto(job, request.reading, timer)
        bilinear = request.outputs.report and self.segmenter.uses_loftup(request.options)
        reused: dict[str, bool] = {}
        if request.keeps:
            known, reused = self._known(photo, timer, bilinear=bilinear)
            assert known.class_map is not None
            assert known.encoded is not None
            queries, options = request.queries, request.options
            result = self.segmenter.segment_from(known.class_map, known.encoded, queries, options, timer)
        else:
            result = self.segmenter.segment(photo.decoded.pixels, request.queries, request.options, timer)
            known = Intermediate(notes=photo.decoded.notes)
            if bilinear:
                known = replace(known, bilinear=bilinear_labels(self.segmenter, photo.decoded, request, timer))
        with timer.measure("write"):
            self._write(photo, result, known.bilinear if bilinear else None)
        messages = remarks(known.notes, result, request.options)
        row = DoneRow.of(str(job.path), job.name, job.stamp, replace(result, seconds=timer.seconds), known.notes)
        return Outcome(row, tuple(f"{job.path}: {message}" for message in messages), reused)

    def _known(self, photo: _LazyPhoto, timer: StageTimer, *, bilinear: bool) -> tuple[Intermediate, dict[str, bool]]:
        """What is known before the prompts, and of which kinds the kept one was used; what is new is kept."""
        request, files, known = self.request, self._files, Intermediate()
        wanted = {CLASS_MAPS, ENCODINGS, *((BILINEAR_MAPS,) if bilinear else ())}
        if request.reuse:
            with timer.measure("reuse"):
                known = files.read(photo.job)
        missing = wanted - known.kinds
        if missing:
            known = analyse(self.segmenter, photo.decoded, request, known, timer, bilinear=bilinear)
            with timer.measure("keep"):
                files.write(photo.job, known, missing)
        return known, {kind: kind not in missing for kind in sorted(wanted)} if request.reuse else {}

    def _write(self, photo: _LazyPhoto, result: Segmentation, bilinear: NDArray[np.uint16] | None) -> None:
        words, outputs, paths = len(result.words), self.request.outputs, output_paths(photo.job.name)
        size = result.semantic.shape[0], result.semantic.shape[1]
        contents = {
            "semantic": pictures.label_png(result.semantic, words),
            SHARDS: annotations_bytes(str(photo.job.path), size, result.instances),
        }
        if outputs.save_dense or outputs.report:
            contents["dense"] = pictures.label_png(result.dense, words)
        if bilinear is not None:
            contents["bilinear"] = pictures.label_png(bilinear, words)
        if outputs.save_dense:
            contents["confidence"] = pictures.confidence_png(result.confidence)
        if outputs.overlay:
            contents["overlay"] = pictures.jpeg(draw(photo.decoded.pixels, result))
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
