"""annotations.json, joined from the annotations of each photo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wordmask.errors import OutputError
from wordmask.formats.coco import coco_document, coco_image
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import ANNOTATIONS, SHARDS, output_paths
from wordmask.outputs.photo_annotations import PhotoAnnotations
from wordmask.outputs.store import Store
from wordmask.photo.job import Job


class OutOfTimeError(Exception):
    """annotations.json was not written by the time limit."""


def write_annotations(
    out: Store, words: Sequence[str], journal: Journal, jobs: Iterable[Job], *, until: float | None = None
) -> Counter[str]:
    """Writes annotations.json; ids follow the order of the jobs.

    Args:
        out: the output folder, with every finished photo's annotations in SHARDS.
        words: the classes.
        journal: of the run.
        jobs: the photos.
        until: time.monotonic() to give up at.

    Returns:
        The number of objects by word, of the words that were found.

    Raises:
        OutOfTimeError: it took longer; the earlier file stays.
        OutputError: it cannot be written, or a photo's annotations cannot be read.
    """
    objects: Counter[str] = Counter()
    done = [job for job in jobs if job.name in journal.finished and journal.finished[job.name].status == "ok"]

    def photos() -> Iterator[tuple[dict[str, Any], Sequence[Mapping[str, Any]]]]:
        names = [output_paths(job.name)[SHARDS] for job in done]
        for job, name, content in zip(done, names, out.read(names), strict=True):
            if until is not None and time.monotonic() > until:
                raise OutOfTimeError
            try:
                found = PhotoAnnotations.parse(content)
            except ValueError as error:
                raise OutputError(f"{f'{out}/{name}'!r} cannot be read ({error}): remove it and run again") from error
            objects.update(_words(found, words))
            yield coco_image(job.number, str(job.path), found.size), found.entries

    out.write({ANNOTATIONS: coco_document(words, photos())})
    return objects


def _words(photo: PhotoAnnotations, words: Sequence[str]) -> Iterator[str]:
    """Each object's word; files that were edited may have objects of none."""
    for entry in photo.entries:
        number = entry.get("category_id")
        if type(number) is int and 1 <= number <= len(words):
            yield words[number - 1]
