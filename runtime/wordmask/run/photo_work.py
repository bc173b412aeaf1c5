"""All that is done for one photo of a run: decoding, segmenting, writing. Its row of the journal comes back."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from threading import Event

import numpy as np
from numpy.typing import NDArray

from wordmask.errors import NumericError, PhotoError, WordmaskError
from wordmask.formats import pictures
from wordmask.formats.coco import coco_annotation
from wordmask.formats.explanation import nothing_found
from wordmask.formats.json import json_bytes
from wordmask.formats.overlay import draw
from wordmask.memory import is_out_of_memory
from wordmask.outputs.journal import Row
from wordmask.outputs.layout import SHARDS, places
from wordmask.outputs.store import Store
from wordmask.photo.job import Job
from wordmask.photo.reading import Photo
from wordmask.pipeline import Segmenter
from wordmask.run.find_photos import load_unchanged
from wordmask.text.queries import Queries
from wordmask.timing import StageTimer
from wordmask.types import Options, Segmentation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Writing:
    """Which optional outputs to write."""

    overlay: bool = False
    save_dense: bool = False
    report: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The outputs without which a photo is done again, by their folders: a report shows what there is."""
        dense = ("dense", "confidence") if self.save_dense else ()
        return ("semantic", *dense, *(("overlay",) if self.overlay else ()), SHARDS)


@dataclass(frozen=True)
class Work:
    """What is the same for all photos of a run. Called from several threads."""

    segmenter: Segmenter
    queries: Queries
    options: Options
    out: Store
    writing: Writing
    stop: Event
    lenient: bool

    def __call__(self, job: Job) -> tuple[Row, tuple[str, ...]]:
        """Does a photo.

        Returns:
            Its row of the journal, and lines that the user should see.

        Raises:
            OutputError: its outputs cannot be written.
            WordmaskError: what every photo would meet, such as a device that is gone.
            Exception: any, once `stop` is set.
        """
        row: Row = {"photo": str(job.path), "name": job.name}
        if job.stamp is not None:
            row |= {"bytes": job.stamp[0], "modified_ns": job.stamp[1]}
        try:
            done, said = self._done(job)
        except Exception as error:
            # a stop ends graphs with errors that say nothing of the photo
            failure = None if self.stop.is_set() else failure_of(error)
            if failure is None:
                raise
            done, said = {"status": failure.code, "error": str(failure)}, (f"{failure.code}: {failure}",)
        return row | done, said

    def _done(self, job: Job) -> tuple[Row, tuple[str, ...]]:
        timer = StageTimer()
        with timer.measure("decode"):
            photo = load_unchanged(job, lenient=self.lenient)
        result = self.segmenter.segment(photo.pixels, self.queries, self.options, timer)
        bilinear = None
        if self.writing.report and self.segmenter.uses_loftup(self.options):
            with timer.measure("bilinear_map"):
                bilinear = self._bilinear(photo)
        with timer.measure("write"):
            self._write(job, photo, result, bilinear)
        said = [f"{job.path}: {note}" for note in photo.notes]
        if not result.instances:
            options = self.options
            reason = nothing_found(result, options.min_confidence, options.min_region_size)
            said.append(f"{job.path}: {reason}")
        confidence = [round(c, 4) for c in result.word_confidence]
        row = {
            "status": "ok",
            "notes": list(photo.notes),
            "height": photo.pixels.shape[0],
            "width": photo.pixels.shape[1],
            "instances": len(result.instances),
            "prompts": result.prompt_count,
            "word_confidence": dict(zip(result.words, confidence, strict=True)),
            "seconds": {stage: round(value, 4) for stage, value in sorted(timer.seconds.items())},
        }
        return row, tuple(said)

    def _bilinear(self, photo: Photo) -> NDArray[np.uint16]:
        """The class map without LoftUp, to compare with; coded as Segmentation.dense."""
        options = replace(self.options, use_loftup=False)
        index = self.segmenter.class_map(photo.pixels, self.queries, options, StageTimer()).index
        return (index.astype(np.uint16) + np.uint16(1)) * (index < len(self.queries.vocabulary.classes))

    def _write(self, job: Job, photo: Photo, result: Segmentation, bilinear: NDArray[np.uint16] | None) -> None:
        words, where = len(result.words), places(job.name)
        shard = {
            "file_name": str(job.path),
            "height": photo.pixels.shape[0],
            "width": photo.pixels.shape[1],
            "annotations": [coco_annotation(instance) for instance in result.instances],
        }
        contents = {"semantic": pictures.label_png(result.semantic, words), SHARDS: json_bytes(shard)}
        if self.writing.save_dense or self.writing.report:
            contents["dense"] = pictures.label_png(result.dense, words)
        if bilinear is not None:
            contents["bilinear"] = pictures.label_png(bilinear, words)
        if self.writing.save_dense:
            contents["confidence"] = pictures.confidence_png(result.confidence)
        if self.writing.overlay:
            contents["overlay"] = pictures.jpeg(draw(photo.pixels, result))
        self.out.write({where[kind]: [content] for kind, content in contents.items()})


def failure_of(error: Exception) -> PhotoError | None:
    """What an error means for the one photo; None if the others would meet it too."""
    if isinstance(error, PhotoError):
        return error
    if isinstance(error, NumericError):
        return PhotoError("NUMERIC", str(error))
    if is_out_of_memory(error):
        return PhotoError("OOM", "not enough memory for this photo")
    if isinstance(error, WordmaskError):
        return None
    logger.error("this should not happen, please report it", exc_info=error)
    return PhotoError("INTERNAL", f"{type(error).__name__}: {error}")


def quarantine(job: Job) -> Row:
    """The row of a photo at which the process died more than once."""
    error = f"{str(job.path)!r}: the process died twice at work on it; --retry-quarantined tries it again"
    return {"photo": str(job.path), "name": job.name, "status": "QUARANTINED", "error": error}
