"""Where labels go in a picture: not on each other, not on what must stay visible, and near their objects.

The picture is divided into cells; a label may lie wherever all its cells are free. Among those places it takes the one
of least cost: near its object, over it if it is large, above rather than below, and not over others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats

Rectangle = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, exclusive ends
Point = tuple[float, float]
_FINENESS = 3  # cells in the height of a label
_SMALL = 6  # an object is small if its box is less than this many times its label
_OVER_OTHERS = 2.0  # costs, in heights of a label: to lie over other objects,
_BESIDE = 3.0  # beside its own large object,
_BELOW = 0.4  # below the middle of its object


@dataclass(frozen=True)
class Label:
    """A label to be placed.

    Attributes:
        size: width and height in pixels.
        anchor: a point of its object.
        box: of its object.
    """

    size: tuple[int, int]
    anchor: Point
    box: Rectangle

    @property
    def of_small_object(self) -> bool:
        """Whether the label would cover a good part of its object."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0) < _SMALL * self.size[0] * self.size[1]


@dataclass(frozen=True)
class Place:
    """Where a label lies.

    Attributes:
        box: of the label.
        leader: a line from the label's border to its object's anchor; None where the label lies over its object.
    """

    box: Rectangle
    leader: tuple[Point, Point] | None


def place_labels(
    labels: Sequence[Label], limits: tuple[int, int], keep_clear: Sequence[Rectangle] = ()
) -> list[Place | None]:
    """Places labels one after another: the first has the choice.

    No label covers another, the box of a small object, or a rectangle of `keep_clear`; all lie inside the picture.
    Where no place is left for a label it has none.

    Args:
        labels: the most important first.
        limits: width and height of the picture in pixels.
        keep_clear: what no label may cover.
    """
    if not labels:
        return []
    step = max(1, round(labels[0].size[1] / _FINENESS))
    taken = np.zeros((limits[1] // step, limits[0] // step), np.uint8)
    others = np.zeros(taken.shape, np.float32)
    for label in labels:
        if label.of_small_object:
            _mark(taken, label.box, step)
        else:
            _add(others, label.box, step)
    for rectangle in keep_clear:
        _mark(taken, rectangle, step)
    sums = np.asarray(cv2.integral(others, sdepth=cv2.CV_64F))
    places: list[Place | None] = []
    for label in labels:
        box = _best(label, taken, sums, step)
        places.append(None if box is None else Place(box, _leader(label, box)))
        if box is not None:
            _mark(taken, box, step)
    return places


def _best(label: Label, taken: NDArray[np.uint8], sums: NDArray[Any], step: int) -> Rectangle | None:
    """The free rectangle of least cost."""
    (width, height), (rows, columns) = label.size, taken.shape
    down, across = -(-height // step), -(-width // step)
    if down > rows or across > columns:
        return None
    free = _window_sums(np.asarray(cv2.integral(taken)), down, across) == 0
    if not free.any():
        return None
    x, y = (np.arange(count - size + 1, dtype=np.float32) * step for count, size in ((columns, across), (rows, down)))
    cost = _distance(label, x, y)
    cost += (_OVER_OTHERS * height / (down * across)) * _window_sums(sums, down, across)
    if not label.of_small_object:
        inside = _inside(label, x, y)
        cost -= ((_BESIDE + _OVER_OTHERS) * height) * inside  # its own box is among those of `sums`
    cost[~free] = np.inf
    row, column = divmod(int(cost.argmin()), len(x))
    x0, y0 = int(x[column]), int(y[row])
    return x0, y0, x0 + width, y0 + height


def _window_sums(integral: NDArray[Any], down: int, across: int) -> Floats:
    """The sums over all windows of a size: (rows + 1, columns + 1) -> f32 (rows - down + 1, columns - across + 1)."""
    found: Floats = (
        integral[down:, across:] - integral[:-down, across:] - integral[down:, :-across] + integral[:-down, :-across]
    ).astype(np.float32)
    return found


def _distance(label: Label, x: Floats, y: Floats) -> Floats:
    """Pixels from the anchor to the labels whose corners are at x and y, (Y, X); more if they are below or askew."""
    (width, height), (anchor_x, anchor_y) = label.size, label.anchor
    dx = np.maximum(np.maximum(x - anchor_x, anchor_x - (x + width)), 0)
    dy = np.maximum(np.maximum(y - anchor_y, anchor_y - (y + height)), 0)
    askew = 0.15 * np.abs(x + width / 2 - anchor_x)
    below = _BELOW * height * (y > anchor_y)
    found: Floats = (np.hypot(dx, dy[:, None]) + askew + below[:, None]).astype(np.float32)
    return found


def _inside(label: Label, x: Floats, y: Floats) -> Floats:
    """The share of each label that lies in its object's box, (Y, X)."""
    (width, height), (x0, y0, x1, y1) = label.size, label.box
    over_x = np.clip(np.minimum(x + width, x1) - np.maximum(x, x0), 0, None) / width
    over_y = np.clip(np.minimum(y + height, y1) - np.maximum(y, y0), 0, None) / height
    found: Floats = (over_x * over_y[:, None]).astype(np.float32)
    return found


def _leader(label: Label, box: Rectangle) -> tuple[Point, Point] | None:
    (x0, y0, x1, y1), (x, y) = box, label.anchor
    if not label.of_small_object:
        corner = np.array([x0], np.float32), np.array([y0], np.float32)
        if _inside(label, *corner).item() >= 0.5:
            return None
    return (min(max(x, x0), x1 - 1), min(max(y, y0), y1 - 1)), label.anchor


def _cells(rectangle: Rectangle, step: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = (max(0, value) for value in rectangle)
    return slice(y0 // step, -(-y1 // step)), slice(x0 // step, -(-x1 // step))


def _mark(taken: NDArray[np.uint8], rectangle: Rectangle, step: int) -> None:
    taken[_cells(rectangle, step)] = 1


def _add(others: Floats, rectangle: Rectangle, step: int) -> None:
    others[_cells(rectangle, step)] += 1
