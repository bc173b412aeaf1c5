"""A photo's class maps: bilinear and LoftUp by the dataset's protocol, and the semantic map of SAM2's masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wordmask.dense.classmap import ClassMap
from wordmask.dense.windows import with_stride
from wordmask.pipeline import Segmenter
from wordmask.text.queries import Queries
from wordmask.types import Options
from wordmask_bench.datasets.dataset import Dataset
from wordmask_bench.quality.sclip_protocol import Prediction, predict, vocabulary
from wordmask_bench.quality.tally import Tally

Map = NDArray[np.integer]


@dataclass(frozen=True)
class Settings:
    """Settings of a measurement: the dataset's protocol, completed by the bundle's constants.

    Attributes:
        logit_scale, short_side, min_probability, min_area: see wordmask_bench.datasets.protocol.Protocol.
        window, stride: the bundle's, or the stride of the options; SCLIP's are 224 and 112.
        upsample: where LoftUp was evaluated, full or selective; None without LoftUp.
    """

    logit_scale: float
    short_side: int
    min_probability: float
    min_area: float | None
    window: int
    stride: int
    upsample: str | None


@dataclass(frozen=True, eq=False)
class Maps:
    """Makes the class maps of photos.

    Attributes:
        segmenter: runs the graphs.
        dataset: gives classes and protocol.
        queries: the embedded words.
        options: of the prompts.
        dense: options of each kind of class map.
        masks: whether SAM2's masks are measured.
        settings: of the measurement.
    """

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
    ) -> Maps:
        """Embeds the words and chooses the kinds of maps; arguments and errors as in quality.dataset.measure."""
        clip, asked = segmenter.manifest.clip, dataset.protocol
        wanted = {False, segmenter.uses_loftup(replace(options, use_loftup=loftup))} if loftup is None else {loftup}
        dense = {"loftup" if use else "bilinear": replace(options, use_loftup=use) for use in sorted(wanted)}
        for choice in dense.values():
            segmenter.uses_loftup(choice)  # raises here if the bundle has no LoftUp, not at the first photo
        settings = Settings(
            logit_scale=clip.logit_scale if asked.logit_scale is None else asked.logit_scale,
            short_side=asked.short_side or clip.short_side,
            min_probability=asked.min_probability,
            min_area=asked.min_area,
            window=clip.window,
            stride=with_stride(clip, options.stride).stride,
            upsample=segmenter.upsample(options) if "loftup" in dense else None,
        )
        queries = segmenter.embed(vocabulary(dataset.classes, asked))
        return cls(segmenter, dataset, queries, options, dense, masks, settings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of maps, in the order in which they are made."""
        return (*self.dense, *(("masks", "masks_over_dense") if self.masks else ()))

    def tally(self) -> Tally:
        """New counts for one kind of map."""
        return Tally(self.dataset.names, first_object=int(self.dataset.protocol.background))

    def of(self, photo: NDArray[np.uint8]) -> Iterator[tuple[str, Map]]:
        """A photo's map of each kind (H, W): class index, or the number of classes for no class."""
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
        similarities = self.segmenter.similarities(photo, self.queries, options, short_side=side)
        size = (photo.shape[0], photo.shape[1])
        return predict(similarities, self.queries, size, self.dataset.protocol, self.settings.logit_scale)

    def _masks(self, photo: NDArray[np.uint8], dense: Prediction) -> Map:
        """SAM2's semantic map in the dataset's coding; pixels without a mask are background, or have no class."""
        count, shift = len(self.dataset.classes), int(self.dataset.protocol.background)
        index = (dense.index - shift) % count  # the runtime has the background last
        known = ClassMap(index.astype(np.int32), dense.confidence, np.roll(dense.best, -shift))
        found = self.segmenter.segment(photo, self.queries, self.options, dense=known)
        semantic = found.semantic.astype(np.int32)
        return semantic if shift else np.where(semantic == 0, count, semantic - 1)
