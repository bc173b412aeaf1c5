"""A run over a folder of photos, and its figures: what every measurement of throughput in one process does."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wordmask.photo.job import Job, stamp
from wordmask.pipeline import Segmenter
from wordmask.run.local import run_folder
from wordmask.run.request import IN_FLIGHT, RunRequest
from wordmask.text.queries import Queries
from wordmask.types import Options


@dataclass(frozen=True)
class FolderFigures:
    """Figures of a run.

    Attributes:
        photos_per_second: by wall-clock time. cpu_ms_per_photo: of all threads.
        stages_ms: by stage, median over the photos.
    """

    photos_per_second: float
    cpu_ms_per_photo: float
    stages_ms: dict[str, float]


def run_photos(
    segmenter: Segmenter,
    queries: Queries,
    options: Options,
    photos: Sequence[Path],
    out: Path,
    *,
    in_flight: int = IN_FLIGHT,
) -> FolderFigures:
    """Segments photos into an output folder, which is made anew.

    Raises:
        RuntimeError: a photo could not be segmented: the figures would be those of fewer photos.
    """
    jobs = [Job(path, str(number), number + 1, stamp(path)) for number, path in enumerate(photos)]
    processor, start = time.process_time(), time.perf_counter()
    record = run_folder(segmenter, RunRequest(jobs, queries, out, options, restart=True, in_flight=in_flight))
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    if record.totals.done != len(photos):
        raise RuntimeError(f"{len(photos)} photos were given, their outcomes are {record.totals.statuses}")
    stages = {stage: round(each.median * 1000, 2) for stage, each in record.stage_seconds.items()}
    return FolderFigures(len(photos) / seconds, processor * 1000 / len(photos), stages)


def copies(photo: Path, count: int, folder: Path) -> list[Path]:
    """Copies of a photo in a folder that is made."""
    folder.mkdir()
    return [Path(shutil.copyfile(photo, folder / f"{number}{photo.suffix}")) for number in range(count)]
