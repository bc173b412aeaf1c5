"""annotations.json, run.json and the totals of a run, from its journal and the annotations of each photo."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wordmask.errors import OutputError
from wordmask.formats.coco import coco_document, coco_image
from wordmask.formats.json import json_bytes
from wordmask.outputs.journal import Journal
from wordmask.outputs.layout import SHARDS, output_paths
from wordmask.outputs.photo_annotations import PhotoAnnotations
from wordmask.outputs.rows import DoneRow, PhotoRow
from wordmask.outputs.store import Store
from wordmask.photo.job import Job

SAM_GRIDS = (32 * 32, 64 * 64)  # points of SAM's automatic mask generator: its default, and the dense one


@dataclass
class Totals:
    """Totals over the photos of a run.

    Attributes:
        statuses: number of photos by status, over all runs into this folder.
        instances: number of their masks.
        prompts: one entry per photo. seconds: by stage, one entry per photo.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    prompts: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[PhotoRow]) -> Totals:
        """Adds up the rows of a journal."""
        totals = cls()
        for row in rows:
            totals.statuses[row.status] += 1
            if isinstance(row, DoneRow):
                totals.instances += row.instances
                totals.prompts.append(row.prompts)
                for stage, value in row.seconds.items():
                    totals.seconds.setdefault(stage, []).append(value)
        return totals


class OutOfTimeError(Exception):
    """annotations.json could not be written in time."""


def write_annotations(
    out: Store, words: Sequence[str], journal: Journal, jobs: Iterable[Job], *, until: float | None = None
) -> None:
    """annotations.json, with ids that follow the jobs' order.

    Args:
        out: the output folder, with every finished photo's annotations in SHARDS.
        words: the classes.
        journal: of the run.
        jobs: the photos.
        until: time.monotonic() to give up at.

    Raises:
        OutOfTimeError: it took longer; the earlier file stays.
        OutputError: it cannot be written, or a photo's annotations cannot be read.
    """

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
            yield coco_image(job.number, str(job.path), found.size), found.entries

    out.write({"annotations.json": coco_document(words, photos())})


def write_run(
    out: Store,
    settings: dict[str, Any],
    bundle: dict[str, Any],
    totals: Totals,
    *,
    finished: bool,
    photos: int,
    seconds: float,
) -> None:
    """run.json.

    Args:
        out: the output folder.
        settings: of the run.
        bundle: the models.
        totals: of the journal.
        finished: whether every photo has its row.
        photos: number that this process finished.
        seconds: that it took for them.
    """
    prompts = statistics.mean(totals.prompts) if totals.prompts else 0.0
    summary = {
        "finished": finished,
        "settings": settings,
        "bundle": bundle,
        "totals": {
            "photos": totals.statuses.total(),
            "statuses": dict(sorted(totals.statuses.items())),
            "instances": totals.instances,
            "seconds": round(seconds, 3),
            "images_per_second": round(photos / seconds, 4),
        },
        "stage_seconds": {
            stage: {"mean": round(statistics.mean(values), 4), "median": round(statistics.median(values), 4)}
            for stage, values in sorted(totals.seconds.items())
        },
        "prompts_per_image": round(prompts, 2),
        "prompt_reduction": {f"against_{grid}_points": round(reduction(prompts, grid), 4) for grid in SAM_GRIDS},
    }
    out.write({"run.json": [json_bytes(summary, indent=1)]})


def reduction(prompts: float, grid: int) -> float:
    """Share of the decoder's work saved against prompting with a grid of points.

    Args:
        prompts: prompts given, of one photo or on average.
        grid: points of the grid, for instance 1024 (32 x 32) or 4096.

    Returns:
        0 (nothing saved) to 1.
    """
    return max(0.0, 1.0 - prompts / grid)
