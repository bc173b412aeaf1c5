"""Quality of a bundle on a labelled dataset by SCLIP's protocol, before SAM2 and after it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from wordmask.classmap import ClassMap
from wordmask.image import decode
from wordmask.pipeline import Clock, Queries, Segmenter
from wordmask.preprocess import window_starts
from wordmask.types import Options
from wordmask_bench.datasets import Dataset, DatasetError, Pair, open_dataset
from wordmask_bench.datasets_labels import read_labels
from wordmask_bench.eval_protocol import Prediction, predict, vocabulary
from wordmask_bench.eval_tally import Figures, Tally

Map = NDArray[np.integer]


@dataclass(frozen=True)
class Settings:
    """What the figures were made with: the dataset's protocol with the bundle's numbers where it has none.

    Attributes:
        logit_scale, short_side, min_probability, min_area: see wordmask_bench.datasets_protocol.Protocol.
        window, stride: the bundle's; SCLIP's are 224 and 112.
        upsample: where LoftUp was evaluated, full or selective; None without it.
    """

    logit_scale: float
    short_side: int
    min_probability: float
    min_area: float | None
    window: int
    stride: int
    upsample: str | None


@dataclass(frozen=True)
class Report:
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

    @property
    def miou(self) -> float:
        """Mean IoU of `figures`, 0 to 1."""
        return self.figures.miou

    @property
    def per_class(self) -> Mapping[str, float]:
        """IoU by class name of `figures`; nan for a class that neither occurs nor was found."""
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
    progress: Callable[[], None] = lambda: None,
) -> Report:
    """Measures a dataset found in its published folders; `folder` needs ROOT/words.txt. See `measure`.

    Raises:
        DatasetError: the dataset is not there; the message shows the layout that is expected.
    """
    found = open_dataset(dataset, Path(root), limit=limit)
    return measure(segmenter, found, loftup=loftup, masks=masks, workers=workers, options=options, progress=progress)


def measure(
    segmenter: Segmenter,
    dataset: Dataset,
    *,
    loftup: bool | None = None,
    masks: bool = False,
    workers: int = 1,
    options: Options | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Report:
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
    work = _Work.prepare(segmenter, dataset, loftup, masks, options or Options())
    totals = {kind: work.tally() for kind in work.kinds}
    seconds: list[float] = []
    lock = Lock()

    def count(pair: Pair) -> None:
        start = time.perf_counter()
        labels = read_labels(pair.labels, dataset.coding, len(dataset.classes))
        photo = decode(pair.photo)
        if labels.shape != photo.shape[:2]:
            sizes = " and ".join(f"{width} x {height}" for height, width in (photo.shape[:2], labels.shape))
            raise DatasetError(f"{pair.labels}: photo and labels are of different sizes, {sizes}")
        for kind, found in work.maps(photo):
            tally = work.tally()
            tally.add(labels, found)
            with lock:
                totals[kind].merge(tally)
        with lock:
            seconds.append(time.perf_counter() - start)
            progress()

    with ThreadPoolExecutor(workers, "eval") as pool:
        for _ in pool.map(count, dataset.pairs):
            pass
    return Report(
        dataset=dataset.name,
        bundle=segmenter.manifest.bundle_id,
        photos=len(seconds),
        settings=work.settings,
        maps={kind: total.figures() for kind, total in totals.items()},
        seconds=float(np.median(seconds)),
    )


def default_workers(segmenter: Segmenter, dataset: Dataset) -> int:
    """Photos at the same time: a core each, unless their similarities would take half of the machine's memory."""
    clip = segmenter.manifest.clip
    short = dataset.protocol.short_side or clip.short_side
    sides = (short, 2 * short)  # few photos are longer
    windows = math.prod(len(window_starts(side, clip.window, clip.stride)) for side in sides)
    words = sum(map(len, dataset.classes))
    need = 2 * 4 * words * (windows * clip.window**2 + math.prod(sides))  # once more while they are joined
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, memory // 2 // need))


@dataclass(frozen=True, eq=False)
class _Work:
    """What is the same for all photos."""

    segmenter: Segmenter
    dataset: Dataset
    queries: Queries
    options: Options
    dense: Mapping[str, Options]
    masks: bool
    settings: Settings

    @classmethod
    def prepare(
        cls, segmenter: Segmenter, dataset: Dataset, loftup: bool | None, masks: bool, options: Options
    ) -> _Work:
        clip, asked = segmenter.manifest.clip, dataset.protocol
        wanted = {False, segmenter.uses_loftup(replace(options, use_loftup=loftup))} if loftup is None else {loftup}
        dense = {"loftup" if use else "bilinear": replace(options, use_loftup=use) for use in sorted(wanted)}
        for choice in dense.values():
            segmenter.uses_loftup(choice)  # a bundle without it is an error now, not at the first photo
        settings = Settings(
            logit_scale=clip.logit_scale if asked.logit_scale is None else asked.logit_scale,
            short_side=asked.short_side or clip.short_side,
            min_probability=asked.min_probability,
            min_area=asked.min_area,
            window=clip.window,
            stride=clip.stride,
            upsample=segmenter.upsample(options) if "loftup" in dense else None,
        )
        queries = segmenter.embed(vocabulary(dataset.classes, asked))
        return cls(segmenter, dataset, queries, options, dense, masks, settings)

    @property
    def kinds(self) -> tuple[str, ...]:
        return (*self.dense, *(("masks", "masks_over_dense") if self.masks else ()))

    def tally(self) -> Tally:
        return Tally(self.dataset.names, first_object=int(self.dataset.protocol.background))

    def maps(self, photo: NDArray[np.uint8]) -> Iterator[tuple[str, Map]]:
        """A photo's map of each kind (H, W): class, or the number of classes for none."""
        for kind, options in self.dense.items():
            last = self._predict(photo, options)
            yield kind, last.index
        if self.masks:
            found = self._masks(photo, last)
            yield "masks", found
            none = 0 if self.dataset.protocol.background else len(self.dataset.classes)
            yield "masks_over_dense", np.where(found == none, last.index, found)

    def _predict(self, photo: NDArray[np.uint8], options: Options) -> Prediction:
        side = self.settings.short_side
        similarities = self.segmenter.similarities(photo, self.queries, options, Clock(), short_side=side)
        size = (photo.shape[0], photo.shape[1])
        return predict(similarities, self.queries, size, self.dataset.protocol, self.settings.logit_scale)

    def _masks(self, photo: NDArray[np.uint8], dense: Prediction) -> Map:
        """SAM2's semantic map as the dataset codes it; where no mask lies it is the background, else none."""
        count, shift = len(self.dataset.classes), int(self.dataset.protocol.background)
        index = (dense.index - shift) % count  # the runtime's background is the last
        known = ClassMap(index.astype(np.int32), dense.confidence, np.roll(dense.best, -shift))
        found = self.segmenter.segment(photo, self.queries, self.options, Clock(), dense=known)
        semantic = found.semantic.astype(np.int32)
        return semantic if shift else np.where(semantic == 0, count, semantic - 1)
