"""A timed run over a folder of photos in this process, as all measurements of throughput use it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from wordmask.loading import IN_FLIGHT
from wordmask.photo.job import Job, stamp
from wordmask.pipeline import Segmenter
from wordmask.run.local import run_folder
from wordmask.run.request import RunRequest
from wordmask.text.queries import Queries
from wordmask.types import Options

MADE_SIZE = (1200, 1800)  # height and width of a generated photo


@dataclass(frozen=True)
class FolderFigures:
    """Figures of a run.

    Attributes:
        photos_per_second: by wall-clock time.
        cpu_ms_per_photo: of all threads.
        stages_ms: median over the photos, by stage.
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
    """Segments photos into a new output folder; an existing one is replaced.

    Raises:
        RuntimeError: a photo failed, so the figures would be those of fewer photos.
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
    """Creates a folder with copies of a photo."""
    folder.mkdir()
    return [Path(shutil.copyfile(photo, folder / f"{number}{photo.suffix}")) for number in range(count)]


def write_made_photo(path: Path, size: tuple[int, int] = MADE_SIZE) -> None:
    """Writes a JPEG of a height and width with soft shapes and grain, whose file is about as large as a photo's."""
    random = np.random.default_rng(0)
    height, width = size
    coarse = random.integers(0, 256, (height // 60 + 1, width // 60 + 1, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    photo = np.clip(smooth + random.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)
    cv2.imwrite(str(path), photo, [cv2.IMWRITE_JPEG_QUALITY, 85])
