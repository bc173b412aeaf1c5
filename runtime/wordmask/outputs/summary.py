"""What a run comes to: annotations.json, run.json and the totals, from the journal and the photos' own annotations."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from wordmask.bundle.manifest import Manifest
from wordmask.errors import OutputError
from wordmask.formats.coco import coco_document, coco_image
from wordmask.formats.json import json_bytes
from wordmask.outputs.journal import Journal, Row
from wordmask.outputs.layout import SHARDS, places
from wordmask.outputs.store import Store
from wordmask.photo.job import Job

SAM_GRIDS = (32 * 32, 64 * 64)  # points of SAM's automatic mask generator: its default, and the dense one


@dataclass
class Totals:
    """What a run's photos add up to.

    Attributes:
        statuses: photos by status, over all runs into this folder.
        instances: masks of those.
        prompts: one entry a photo. seconds: by stage, one entry a photo.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    instances: int = 0
    prompts: list[int] = field(default_factory=list)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Totals:
        """Adds up the rows of a journal."""
        totals = cls()
        for row in rows:
            totals.statuses[row["status"]] += 1
            if row["status"] == "ok":
                totals.instances += row["instances"]
                totals.prompts.append(row["prompts"])
                for stage, value in row["seconds"].items():
                    totals.seconds.setdefault(stage, []).append(value)
        return totals


class OutOfTimeError(Exception):
    """There is no time left to put the annotations together."""


def write_annotations(
    out: Store, words: Sequence[str], journal: Journal, jobs: Iterable[Job], *, until: float | None = None
) -> None:
    """annotations.json, with ids that follow the jobs' order.

    Args:
        out: the output folder, with every finished photo's annotations in SHARDS.
        words: the classes.
        journal: says which photos are finished.
        jobs: the photos.
        until: time.monotonic() to give up at.

    Raises:
        OutOfTimeError: it took longer; what was there before stands.
        OutputError: it cannot be written, or a photo's annotations cannot be read.
    """

    done = [job for job in jobs if job.name in journal.finished and journal.finished[job.name].status == "ok"]

    def photos() -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
        names = [places(job.name)[SHARDS] for job in done]
        for job, name, content in zip(done, names, out.read(names), strict=True):
            if until is not None and time.monotonic() > until:
                raise OutOfTimeError
            found = _parsed(content, f"{out}/{name}")
            yield coco_image(job.number, str(job.path), (found["height"], found["width"])), found["annotations"]

    out.write({"annotations.json": coco_document(words, photos())})


def _parsed(content: bytes, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(content)
        sizes, objects = (found["height"], found["width"]), found["annotations"]
        if not (all(type(size) is int for size in sizes) and all(isinstance(each, dict) for each in objects)):
            raise ValueError("no annotations of a photo")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OutputError(f"{name!r} cannot be read ({error!r}): remove it and run again") from error
    return found


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
        settings: what was asked for.
        bundle: see bundle_facts.
        totals: of the journal.
        finished: whether every photo has its row.
        photos: how many this process did, in `seconds`.
        seconds: that time.
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


def bundle_facts(manifest: Manifest, *, loftup: bool) -> dict[str, Any]:
    """What run.json says of the bundle."""
    return {
        "id": manifest.bundle_id,
        "domain": manifest.domain,
        "precision": manifest.precision,
        "models": {name: model.name for name, model in manifest.models.items()},
        "loftup": loftup,
    }


def reduction(prompts: float, grid: int) -> float:
    """Share of the decoder's work saved against prompting with a grid of points.

    Args:
        prompts: prompts given, of one photo or on average.
        grid: points of the grid, for instance 1024 (32 x 32) or 4096.

    Returns:
        0 (nothing saved) to 1.
    """
    return max(0.0, 1.0 - prompts / grid)
