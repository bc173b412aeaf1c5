"""Extracts SAM2's prompts from a class map, one for each region."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.objects.regions import Integers, Regions, find_regions
from wordmask.types import Options, Prompt

NEGATIVE_DISTANCE = 10  # pixels between a region and its nearest negative point
_MOST_CANDIDATES = 1 << 14
PromptSource = Callable[[NDArray[np.integer], Floats, int, Options], list[Prompt]]  # as extract_prompts


def extract_prompts(
    class_map: NDArray[np.integer], confidence: Floats, n_classes: int, options: Options
) -> list[Prompt]:
    """Finds the regions of every class and the points that stand for them.

    A region is a 4-connected set of at least options.min_region_size pixels (None: 100) of one class, each above
    options.min_confidence. Its first positive point is its centroid, rounded, if that lies in the region, else the
    pixel farthest from its border (the photo's edge is one). Further positive points (points_per_region) are spread
    farthest first over the pixels whose border distance is at least half the region's largest; fewer where there are
    not that many. Negative points (negative_points) are confident pixels of another class, the background included,
    10 px to max(20, 10 + sqrt(size) / 2) px away from the region: the nearest one, then farthest first; none where
    there is none. Ties go to the first pixel in reading order; of many candidates every k-th is used.

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
    regions = find_regions(class_map, confidence, n_classes, options)
    other = None
    if options.negative_points:
        other = np.where(confidence > np.float32(options.negative_min_confidence), class_map, -1)
    prompts = []
    for k in range(len(regions.size)):
        parts = [_positive_points(regions, k, options.points_per_region)]
        labels = [1] * len(parts[0])
        if options.boxes:
            parts.insert(0, regions.boxes[k].reshape(2, 2) - ((0, 0), (1, 1)))
            labels = [2, 3, *labels]
        if other is not None:
            parts.append(_negative_points(regions, k, other, options.negative_points))
            labels += [0] * len(parts[-1])
        prompts.append(
            Prompt(
                class_index=int(regions.class_index[k]),
                points=np.concatenate(parts, dtype=np.float32),
                labels=np.array(labels, dtype=np.int32),
                confidence=float(regions.confidence[k]),
                region_size=int(regions.size[k]),
            )
        )
    return prompts


def _positive_points(regions: Regions, k: int, count: int) -> Integers:
    """(P, 2) x and y, P from 1 to count."""
    if count == 1 and regions.has_centroid[k]:
        return regions.centroid[k, None]
    distance = _squared_distance(regions.crop(k, 1))
    corner: Integers = regions.boxes[k, :2] - 1
    if regions.has_centroid[k]:
        first = regions.centroid[k] - corner
    else:
        row, column = divmod(int(np.argmax(distance)), distance.shape[1])
        first = np.array((column, row))
    points = _spread(first, distance >= distance.max() / 4, count) if count > 1 else first[None]
    return points + corner


def _negative_points(regions: Regions, k: int, other: NDArray[np.integer], count: int) -> Integers:
    """(P, 2) x and y, P from 0 to count; other is the class map, negative where it is not confident."""
    reach = NEGATIVE_DISTANCE + max(NEGATIVE_DISTANCE, int(regions.size[k] ** 0.5 / 2))
    distance = _squared_distance(1 - regions.crop(k, reach))
    x, y = (regions.boxes[k, :2] - reach).tolist()  # the crop's corner, possibly beyond the photo
    inside = distance[max(0, -y) : other.shape[0] - y, max(0, -x) : other.shape[1] - x]
    x, y = max(0, x), max(0, y)
    classes = other[y : y + inside.shape[0], x : x + inside.shape[1]]
    usable = (inside >= NEGATIVE_DISTANCE**2) & (inside <= reach**2)
    usable &= (classes >= 0) & (classes != regions.class_index[k])
    if not usable.any():
        return np.empty((0, 2), dtype=np.int64)
    row, column = divmod(int(np.argmin(np.where(usable, inside, inside.max() + 1))), inside.shape[1])
    return np.add(_spread(np.array((column, row)), usable, count), (x, y))


def _squared_distance(mask: NDArray[np.uint8]) -> Integers:
    """Square of each pixel's distance to the nearest zero, in pixels.

    OpenCV's root may differ in its last digit from call to call, by what other threads do, and equal distances would no
    longer tie; their squares are whole numbers.
    """
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.rint(np.square(distance, dtype=np.float64)).astype(np.int64)


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
