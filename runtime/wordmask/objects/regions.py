"""The regions of a class map: connected pixels of one class that are confident enough.

All classes are labelled in one pass over the runs of the map's rows (a run is a stretch of one class), so the cost
follows the photo and its detail, not the number of classes: OpenCV labels one class at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.types import Options

Integers = NDArray[np.int64]
REGION_SIZE = 100  # pixels of the photo: of the smallest region, where nobody chose


@dataclass(frozen=True)
class Regions:
    """The regions in the order of their prompts. Runs of region k: rows[bounds[k] : bounds[k + 1]], and so on."""

    class_index: Integers  # (R,)
    size: Integers  # (R,) pixels
    confidence: NDArray[np.float64]  # (R,) mean
    centroid: Integers  # (R, 2) x, y, rounded
    has_centroid: BoolMask  # (R,) is that pixel in the region
    boxes: Integers  # (R, 4) x0, y0, x1, y1, exclusive ends
    bounds: Integers  # (R + 1,)
    rows: Integers  # of each run
    starts: Integers  # first column of each run
    ends: Integers  # column after each run

    def crop(self, k: int, margin: int) -> NDArray[np.uint8]:
        """Region k as 0 and 1, in its box grown by a margin (also beyond the photo)."""
        x0, y0, x1, y1 = self.boxes[k]
        height, width = y1 - y0 + 2 * margin, x1 - x0 + 2 * margin
        runs = slice(self.bounds[k], self.bounds[k + 1])
        offset = (self.rows[runs] - y0 + margin) * width + margin - x0
        steps = np.zeros(height * width, dtype=np.int8)
        steps[offset + self.starts[runs]] = 1
        steps[offset + self.ends[runs]] = -1
        return np.cumsum(steps, dtype=np.int8).view(np.uint8).reshape(height, width)


def find_regions(class_map: NDArray[np.integer], confidence: Floats, n_classes: int, options: Options) -> Regions:
    """The regions of at least options.min_region_size (or REGION_SIZE) pixels, by class, then by falling size.

    Args:
        class_map: integers (H, W), see wordmask.objects.prompts.extract_prompts.
        confidence: f32 (H, W); a pixel counts if it is above options.min_confidence.
        n_classes: number of classes asked for.
        options: see Options.
    """
    labels = _labels(class_map, confidence, n_classes, options.min_confidence)
    first = _run_starts(labels)
    run_of_pixel = np.cumsum(first.ravel(), dtype=np.int32)
    run_of_pixel -= 1
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=labels.size)
    root = _connect(labels, first, run_of_pixel)

    label = labels.ravel()[starts]
    size = np.bincount(root, weights=lengths, minlength=len(root))
    smallest = options.min_region_size or REGION_SIZE
    found = _in_prompt_order(np.flatnonzero((size >= smallest) & (label > 0)), size, label)
    region_of_root = np.full(len(root), -1)
    region_of_root[found] = np.arange(len(found))
    region_of_run = region_of_root[root]
    runs = np.flatnonzero(region_of_run >= 0)
    runs = runs[np.argsort(region_of_run[runs], kind="stable")]
    region, lengths = region_of_run[runs], lengths[runs]
    rows, columns = np.divmod(starts[runs], labels.shape[1])
    sums = np.add.reduceat(confidence.ravel(), starts, dtype=np.float64)[runs]

    def mean(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(region, weights=weights, minlength=len(found)) / size[found]

    x, y = np.rint(mean(lengths * (columns + (lengths - 1) / 2))), np.rint(mean(lengths * rows.astype(np.float64)))
    centroid = np.stack((x, y), axis=1).astype(np.int64)  # (R, 2)
    bounds = np.searchsorted(region, np.arange(len(found) + 1))
    left = np.minimum.reduceat(columns, bounds[:-1])
    right = np.maximum.reduceat(columns + lengths, bounds[:-1])
    return Regions(
        class_index=label[found].astype(np.int64) - 1,
        size=size[found].astype(np.int64),
        confidence=mean(sums),
        centroid=centroid,
        has_centroid=region_of_run[run_of_pixel[centroid @ (1, labels.shape[1])]] == np.arange(len(found)),
        boxes=np.stack((left, rows[bounds[:-1]], right, rows[bounds[1:] - 1] + 1), axis=1),
        bounds=bounds,
        rows=rows,
        starts=columns,
        ends=columns + lengths,
    )


def _labels(
    class_map: NDArray[np.integer], confidence: Floats, n_classes: int, min_confidence: float
) -> NDArray[np.unsignedinteger]:
    """Class + 1 where a pixel may belong to a region, else 0, in the narrowest type."""
    wanted = confidence > np.float32(min_confidence)
    wanted &= class_map < n_classes
    if class_map.dtype.kind == "i":
        wanted &= class_map >= 0
    labels = class_map.astype(np.min_scalar_type(n_classes))
    labels += 1
    labels *= wanted
    return labels


def _run_starts(labels: NDArray[np.unsignedinteger]) -> BoolMask:
    """Whether a run begins at a pixel."""
    first = np.empty(labels.shape, dtype=np.bool_)
    first[:, 0] = True
    np.not_equal(labels[:, 1:], labels[:, :-1], out=first[:, 1:])
    return first


def _in_prompt_order(found: Integers, size: NDArray[np.signedinteger], label: NDArray[np.unsignedinteger]) -> Integers:
    """The roots of regions by class, within a class by falling size."""
    order: Integers = found[np.lexsort((found, -size[found], label[found]))]
    return order


def _connect(labels: NDArray[np.unsignedinteger], first: BoolMask, run_of_pixel: NDArray[np.int32]) -> Integers:
    """For each run the first run of its region. Runs of label 0 stay alone."""
    # Two runs of neighbouring rows overlap in one stretch, and one of them begins where the stretch begins.
    touch = labels[1:] == labels[:-1]
    touch &= first[1:] | first[:-1]
    touch &= labels[1:] != 0
    pixels = np.flatnonzero(touch)
    upper, lower = (run_of_pixel[at].astype(np.int64) for at in (pixels, pixels + labels.shape[1]))
    root: Integers = np.arange(int(run_of_pixel[-1]) + 1)
    while upper.size:
        # Roots only ever move down, so any of a root's neighbours will do; the others are joined in a later round.
        root[np.maximum(upper, lower)] = np.minimum(upper, lower)
        while True:
            further = root[root]
            if np.array_equal(further, root):
                break
            root = further
        upper, lower = root[upper], root[lower]
        apart = upper != lower
        upper, lower = upper[apart], lower[apart]
    return root
