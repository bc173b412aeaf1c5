"""Compares the results of bilinear upsampling and of LoftUp on one photo."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.objects.prompts import extract_prompts
from wordmask.pipeline import Segmenter
from wordmask.text.queries import Queries
from wordmask.types import Options, Segmentation
from wordmask_bench.machine.markdown import markdown_table

REACH = 16  # largest distance in pixels of an uncertain band from its border: a patch of CLIP
SMALL = 32 * 32  # pixels: COCO's bound of small objects
METRICS_HEAD = ("", "unit", "bilinear", "LoftUp")


@dataclass(frozen=True, eq=False)
class Side:
    """The results of one kind of upsampling.

    Attributes:
        name: in texts and tables.
        result: of the pipeline.
        seconds: of the pipeline on the decoded photo.
        band: see uncertain_band.
        regions: sizes in pixels of the regions that gave a prompt.
    """

    name: str
    result: Segmentation
    seconds: float
    band: float
    regions: tuple[int, ...]

    @property
    def small_regions(self) -> int:
        """Number of regions with fewer than SMALL pixels."""
        return sum(size < SMALL for size in self.regions)

    @property
    def words(self) -> int:
        """Number of words that have a mask."""
        return len({instance.class_index for instance in self.result.instances})

    @property
    def agreement(self) -> str:
        """Mean agreement of the masks with their words (see Instance) as text; empty without masks."""
        found = [instance.agreement for instance in self.result.instances]
        return f"{np.mean(found):.3f}" if found else ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """The results of both kinds of upsampling on one photo.

    Attributes:
        photo: u8 (H, W, 3).
        before: bilinear.
        after: LoftUp.
        disagreement: share of the pixels whose class differs, 0 to 1; the background is a class.
        differs: bool (H, W), the pixels whose class differs.
    """

    photo: NDArray[np.uint8]
    before: Side
    after: Side
    disagreement: float
    differs: BoolMask

    def metrics(self) -> list[tuple[str, str, str, str]]:
        """Rows of the table METRICS_HEAD: name, unit (empty for counts), value before, value after."""
        before, after = self.before, self.after
        return [
            ("time", "s", f"{before.seconds:.2f}", f"{after.seconds:.2f}"),
            ("regions", "", f"{len(before.regions)}", f"{len(after.regions)}"),
            (f"regions under {SMALL} pixels", "", f"{before.small_regions}", f"{after.small_regions}"),
            ("prompts", "", f"{before.result.prompt_count}", f"{after.result.prompt_count}"),
            ("masks", "", f"{len(before.result.instances)}", f"{len(after.result.instances)}"),
            ("words with a mask", "", f"{before.words}", f"{after.words}"),
            ("agreement of masks, mean", "0 to 1", before.agreement, after.agreement),
            ("uncertain band at borders", "pixels", f"{before.band:.2f}", f"{after.band:.2f}"),
            ("pixels of another class", "%", "", f"{self.disagreement:.2%}".rstrip("%")),
        ]


def compare(segmenter: Segmenter, photo: NDArray[np.uint8], queries: Queries, options: Options) -> Comparison:
    """Segments a photo u8 (H, W, 3) with both kinds of upsampling, once to warm up and once for the time.

    Raises:
        BundleError: the bundle has no LoftUp.
    """
    both = {"bilinear": replace(options, use_loftup=False), "LoftUp": replace(options, use_loftup=True)}
    segmenter.uses_loftup(both["LoftUp"])  # raises if the bundle has no LoftUp
    before, after = (_side(name, segmenter, photo, queries, each) for name, each in both.items())
    differs = before.result.dense != after.result.dense
    return Comparison(photo, before, after, float(differs.mean()), differs)


def _side(name: str, segmenter: Segmenter, photo: NDArray[np.uint8], queries: Queries, options: Options) -> Side:
    size = (photo.shape[0], photo.shape[1])
    segmenter.segment(photo, queries, options)
    begin = time.perf_counter()
    result = segmenter.segment(photo, queries, options)
    seconds = time.perf_counter() - begin
    return Side(
        name=name,
        result=result,
        seconds=seconds,
        band=uncertain_band(result.dense, result.confidence, options.min_confidence),
        regions=region_sizes(result, replace(options, min_region_size=segmenter.min_region_size(size, options))),
    )


def uncertain_band(class_map: NDArray[np.integer], confidence: Floats, min_confidence: float) -> float:
    """Sharpness of the borders between classes: the mean width of the band of uncertain pixels along them.

    It is the number of pixels at most REACH from a border whose confidence is at most min_confidence (so that they
    belong to no region), divided by the length of all borders. On a border two classes are equally probable; the
    faster the confidence rises with the distance from it, the narrower the band.

    Args:
        class_map: integers (H, W).
        confidence: f32 (H, W), probability of that class.
        min_confidence: see Options.

    Returns:
        Pixels; 0 if there is only one class.
    """
    beside, length = np.zeros(class_map.shape, np.uint8), 0
    for first, second in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        changes = class_map[first] != class_map[second]
        beside[first] |= changes
        beside[second] |= changes
        length += int(np.count_nonzero(changes))
    if not length:
        return 0.0
    side = 2 * REACH - 1  # a pixel beside a border has the distance 1
    near = cv2.dilate(beside, np.ones((side, side), np.uint8)) > 0
    return float(np.count_nonzero(near & (confidence <= min_confidence)) / length)


def region_sizes(result: Segmentation, options: Options) -> tuple[int, ...]:
    """Sizes in pixels of the regions that give prompts, largest first."""
    count = len(result.words)
    index = np.where(result.dense > 0, result.dense.astype(np.int32) - 1, count)
    sizes = (prompt.region_size for prompt in extract_prompts(index, result.confidence, count, options))
    return tuple(sorted(sizes, reverse=True))


def table(comparison: Comparison) -> str:
    """The metrics as Markdown."""
    return "\n".join(markdown_table(METRICS_HEAD, comparison.metrics()))
