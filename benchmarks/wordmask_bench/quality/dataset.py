"""Quality of a bundle on a labelled dataset by SCLIP's protocol, before and after SAM2."""

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
    """Quality of a bundle on a dataset.

    Attributes:
        dataset: its name.
        bundle: the bundle's id.
        photos: number of photos.
        settings: protocol and windows.
        maps: figures by kind of map, in the order of the pipeline: `bilinear` and `loftup` are class maps, `masks` is
            SAM2's semantic map, `masks_over_dense` is the same with the class map where there is no mask.
        seconds: median time per photo, for all its maps.
    """

    dataset: str
    bundle: str
    photos: int
    settings: Settings
    maps: Mapping[str, Figures]
    seconds: float

    @property
    def figures(self) -> Figures:
        """Figures of the last measured stage: `masks`, else `loftup`, else `bilinear`."""
        return next(self.maps[kind] for kind in ("masks", "loftup", "bilinear") if kind in self.maps)

    @property
    def miou(self) -> float:
        """Mean IoU of `figures`, 0 to 1."""
        return self.figures.miou

    @property
    def per_class(self) -> Mapping[str, float]:
        """IoU by class name of `figures`; nan for a class that neither occurs nor was predicted."""
        return self.figures.per_class


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
    """Opens a dataset in its published folders and measures it, see `measure`; `folder` needs ROOT/words.txt.

    Raises:
        DatasetError: the dataset is not there; the message shows the expected layout.
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
        segmenter: best made with threads=1 if there are several workers.
        dataset: see open_dataset.
        loftup: measure only the class map with LoftUp, or only the bilinear one; None measures both if the bundle has
            LoftUp.
        masks: also measure SAM2's masks, prompted from the last class map.
        workers: photos at the same time; each holds its similarities in memory.
        options: of the prompts, and where LoftUp is evaluated.
        progress: called after each photo.

    Raises:
        BundleError: LoftUp was asked for and the bundle has none.
        DatasetError: a label PNG is not as published, or its size differs from its photo's.
        PhotoError: a photo cannot be read.
        ValueError: workers is less than 1.
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


def default_workers(segmenter: Segmenter, dataset: Dataset, stride: int | None = None) -> int:
    """Number of workers: one per core, fewer if their similarities would fill half of the memory.

    Args:
        segmenter: makes the maps.
        dataset: gives the number of words and the size of photos.
        stride: step between windows; None takes the bundle's.
    """
    clip = segmenter.manifest.clip
    short = dataset.protocol.short_side or clip.short_side
    sides = (short, 2 * short)  # aspect ratios above 2 are rare
    windows = math.prod(len(window_starts(side, clip.window, stride or clip.stride)) for side in sides)
    words = sum(map(len, dataset.classes))
    need = 2 * 4 * words * (windows * clip.window**2 + math.prod(sides))  # twice: joining the windows copies them
    return max(1, min(processors(), memory() // 2 // need))
