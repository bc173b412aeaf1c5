"""Quality of a bundle on a labelled dataset by SCLIP's protocol, before SAM2 and after it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wordmask.dense.windows import window_starts
from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask.system.limits import memory, processors
from wordmask.types import Options
from wordmask_bench.datasets import DatasetError
from wordmask_bench.datasets.dataset import Dataset, Pair, open_dataset
from wordmask_bench.datasets.labels import read_labels
from wordmask_bench.quality.maps import Maps, Settings
from wordmask_bench.quality.tally import Figures, Tally


@dataclass(frozen=True)
class DatasetReport:
    """What was measured.

    Attributes:
        dataset: its name.
        bundle: the bundle's id.
        photos: how many.
        settings: with which numbers.
        maps: figures by kind of map, in the order of the work: `bilinear` and `loftup` are dense, `masks` is SAM2's
            semantic map, `masks_over_dense` has the dense map where no mask lies.
        seconds: median time of a photo, all its maps together.
    """

    dataset: str
    bundle: str
    photos: int
    settings: Settings
    maps: Mapping[str, Figures]
    seconds: float

    @property
    def figures(self) -> Figures:
        """Those of the furthest stage: `masks` if it was measured, else `loftup`, else `bilinear`."""
        return next(self.maps[kind] for kind in ("masks", "loftup", "bilinear") if kind in self.maps)


def evaluate(
    segmenter: Segmenter,
    *,
    root: str | Path,
    dataset: str = "voc21",
    limit: int | None = None,
    loftup: bool | None = None,
    masks: bool = False,
    workers: int = 1,
    options: Options | None = None,
) -> DatasetReport:
    """Measures a dataset found in its published folders; `folder` needs ROOT/words.txt. See `measure`.

    Raises:
        DatasetError: the dataset is not there; the message shows the layout that is expected.
    """
    found = open_dataset(dataset, Path(root), limit=limit)
    return measure(segmenter, found, loftup=loftup, masks=masks, workers=workers, options=options)


def measure(
    segmenter: Segmenter,
    dataset: Dataset,
    *,
    loftup: bool | None = None,
    masks: bool = False,
    workers: int = 1,
    options: Options | None = None,
    progress: Callable[[], None] = lambda: None,
) -> DatasetReport:
    """Segments every photo of a dataset and compares it with its labels.

    Args:
        segmenter: with workers, best made with threads=1.
        dataset: see open_dataset.
        loftup: measure the dense map with LoftUp alone, or bilinear alone; None measures both if the bundle has LoftUp.
        masks: also SAM2's masks, prompted from the last dense map.
        workers: photos at the same time; each holds its similarities in memory.
        options: prompts, and where LoftUp is evaluated.
        progress: is called after each photo.

    Raises:
        BundleError: LoftUp was asked for and the bundle has none.
        DatasetError: a label picture is not as published, or not of its photo's size.
        PhotoError: a photo cannot be read.
        ValueError: no workers.
    """
    if workers < 1:
        raise ValueError(f"workers is {workers}: give at least 1")
    maps = Maps.prepare(segmenter, dataset, loftup, masks, options or Options())
    totals = {kind: maps.tally() for kind in maps.kinds}
    seconds: list[float] = []

    def count(pair: Pair) -> tuple[dict[str, Tally], float]:
        start = time.perf_counter()
        labels = read_labels(pair.labels, dataset.coding, len(dataset.classes))
        photo = decode(pair.photo)
        if labels.shape != photo.shape[:2]:
            sizes = " and ".join(f"{width} x {height}" for height, width in (photo.shape[:2], labels.shape))
            raise DatasetError(f"{pair.labels}: photo and labels are of different sizes, {sizes}")
        counts = {kind: maps.tally() for kind in maps.kinds}
        for kind, found in maps.of(photo):
            counts[kind].add(labels, found)
        return counts, time.perf_counter() - start

    with ThreadPoolExecutor(workers, "eval") as pool:
        for counts, spent in pool.map(count, dataset.pairs):
            for kind, tally in counts.items():
                totals[kind].merge(tally)
            seconds.append(spent)
            progress()
    return DatasetReport(
        dataset=dataset.name,
        bundle=segmenter.manifest.bundle_id,
        photos=len(seconds),
        settings=maps.settings,
        maps={kind: total.figures() for kind, total in totals.items()},
        seconds=float(np.median(seconds)),
    )


def default_workers(segmenter: Segmenter, dataset: Dataset) -> int:
    """Photos at the same time: a core each, unless their similarities would take half of the memory."""
    clip = segmenter.manifest.clip
    short = dataset.protocol.short_side or clip.short_side
    sides = (short, 2 * short)  # few photos are longer
    windows = math.prod(len(window_starts(side, clip.window, clip.stride)) for side in sides)
    words = sum(map(len, dataset.classes))
    need = 2 * 4 * words * (windows * clip.window**2 + math.prod(sides))  # once more while they are joined
    return max(1, min(processors(), memory() // 2 // need))
