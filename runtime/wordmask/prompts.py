"""From the class map to the points SAM2 is asked about, one prompt a region.

All classes are labelled in one pass over the runs of the map's rows (a run is a stretch of one class), so the cost
follows the photo and its detail, not the number of classes: OpenCV labels one class at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.types import BoolMask, Floats, Options, Prompt

Integers = NDArray[np.int64]
NEGATIVE_DISTANCE = 10  # pixels between a region and its nearest negative point
_MOST_CANDIDATES = 1 << 14


@dataclass(frozen=True)
class _Regions:
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


def extract_prompts(
    class_map: NDArray[np.integer], confidence: Floats, n_classes: int, options: Options
) -> list[Prompt]:
    """Finds the regions of every class and the points that stand for them.

    A region is a 4-connected set of at least options.min_region_size pixels of one class, each with a confidence above
    options.min_confidence. Its first positive point is its centroid, rounded, if that lies in the region, else the
    pixel farthest from its border (the photo's edge is one). Further positive points (points_per_region) are spread
    farthest first over the pixels whose border distance is at least half the region's largest; fewer where there are
    not that many. Negative points (negative_points) are confident pixels of another class, the background included,
    10 px to max(20, 10 + sqrt(size) / 2) px away from the region: the nearest one, then farthest first; none where
    there is none. Ties go to the first pixel in reading order; of many candidates every k-th is looked at.

    Args:
        class_map: integers (H, W): 0 to n_classes - 1, at or above n_classes for the background, negative for unknown.
        confidence: f32 (H, W), probability of that class, 0 to 1.
        n_classes: number of classes asked for.
        options: see Options.

    Returns:
        By class, within a class by falling size. A box (boxes) is given as its first and its last pixel inside.

    Raises:
        ValueError: the two maps differ in shape.
    """
    if class_map.ndim != 2 or class_map.shape != confidence.shape:
        raise ValueError(f"class map {class_map.shape} and confidence {confidence.shape} must have one shape (H, W)")
    if class_map.size == 0:
        return []
    regions = _find_regions(class_map, confidence, n_classes, options)
    other = None
    if options.negative_points:
        other = np.where(confidence > np.float32(options.negative_min_confidence), class_map, -1)
    prompts = []
    for k in range(len(regions.size)):
        parts = [(_positive_points(regions, k, options.points_per_region), 1)]
        if options.boxes:
            parts = [(regions.boxes[k, None, :2], 2), (regions.boxes[k, None, 2:] - 1, 3), *parts]
        if other is not None:
            parts.append((_negative_points(regions, k, other, options.negative_points), 0))
        prompts.append(
            Prompt(
                class_index=int(regions.class_index[k]),
                points=np.concatenate([points for points, _ in parts]).astype(np.float32),
                labels=np.repeat([label for _, label in parts], [len(points) for points, _ in parts]).astype(np.int32),
                confidence=float(regions.confidence[k]),
                region_size=int(regions.size[k]),
            )
        )
    return prompts


def reduction(prompts: float, grid: int) -> float:
    """Share of the decoder's work saved against prompting with a grid of points.

    Args:
        prompts: prompts given, of one photo or on average.
        grid: points of the grid, for instance 1024 (32 x 32) or 4096.

    Returns:
        0 (nothing saved) to 1.
    """
    return max(0.0, 1.0 - prompts / grid)


def _find_regions(class_map: NDArray[np.integer], confidence: Floats, n_classes: int, options: Options) -> _Regions:
    labels = _labels(class_map, confidence, n_classes, options.min_confidence)
    first = np.empty(labels.shape, dtype=np.bool_)  # does a run begin at this pixel
    first[:, 0] = True
    np.not_equal(labels[:, 1:], labels[:, :-1], out=first[:, 1:])
    run_of_pixel = np.cumsum(first.ravel(), dtype=np.int32)
    run_of_pixel -= 1
    starts = np.flatnonzero(first)
    lengths = np.diff(starts, append=labels.size)
    root = _connect(labels, first, run_of_pixel)

    label = labels.ravel()[starts]
    size = np.bincount(root, weights=lengths, minlength=len(root))
    found = np.flatnonzero((size >= options.min_region_size) & (label > 0))
    found = found[np.lexsort((found, -size[found], label[found]))]  # in the order of their prompts
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
    return _Regions(
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


def _positive_points(regions: _Regions, k: int, count: int) -> Integers:
    """(P, 2) x and y, P from 1 to count."""
    if count == 1 and regions.has_centroid[k]:
        return regions.centroid[k, None]
    distance = _distance(regions.crop(k, 1))
    corner: Integers = regions.boxes[k, :2] - 1
    if regions.has_centroid[k]:
        first = regions.centroid[k] - corner
    else:
        row, column = divmod(int(np.argmax(distance)), distance.shape[1])
        first = np.array((column, row))
    points = _spread(first, distance >= distance.max() / 2, count) if count > 1 else first[None]
    return points + corner


def _negative_points(regions: _Regions, k: int, other: NDArray[np.integer], count: int) -> Integers:
    """(P, 2) x and y, P from 0 to count; other is the class map, negative where it is not confident."""
    reach = NEGATIVE_DISTANCE + max(NEGATIVE_DISTANCE, int(regions.size[k] ** 0.5 / 2))
    distance = _distance(1 - regions.crop(k, reach))
    x, y = (regions.boxes[k, :2] - reach).tolist()  # the crop's corner, possibly beyond the photo
    inside = distance[max(0, -y) : other.shape[0] - y, max(0, -x) : other.shape[1] - x]
    x, y = max(0, x), max(0, y)
    classes = other[y : y + inside.shape[0], x : x + inside.shape[1]]
    usable = (inside >= NEGATIVE_DISTANCE) & (inside <= reach)
    usable &= (classes >= 0) & (classes != regions.class_index[k])
    if not usable.any():
        return np.empty((0, 2), dtype=np.int64)
    row, column = divmod(int(np.argmin(np.where(usable, inside, np.inf))), inside.shape[1])
    return np.add(_spread(np.array((column, row)), usable, count), (x, y))


def _distance(mask: NDArray[np.uint8]) -> Floats:
    """Distance of each pixel to the nearest zero, in pixels."""
    return np.asarray(cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), dtype=np.float32)


def _spread(first: Integers, usable: BoolMask, count: int) -> Integers:
    """The first point and up to count - 1 usable pixels, each as far as possible from those before it. (P, 2) x, y."""
    pixels = np.flatnonzero(usable)
    rows, columns = np.divmod(pixels[:: max(1, len(pixels) // _MOST_CANDIDATES)], usable.shape[1])
    candidates = np.stack((columns, rows), axis=1)
    points = [first]
    nearest = ((candidates - first) ** 2).sum(axis=1)
    while len(points) < count and nearest.max() > 0:
        points.append(candidates[np.argmax(nearest)])
        np.minimum(nearest, ((candidates - points[-1]) ** 2).sum(axis=1), out=nearest)
    return np.stack(points)
