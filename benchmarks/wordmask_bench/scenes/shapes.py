"""Outlines of the scenes' objects: round, angular, concave, thin and hollow; shapes have no words.

An outline is a list of closed contours, f64 (N, 2), x and y within about -1 to 1, filled by the even-odd rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Outline = list[Points]


def _circle(radius: float = 1.0, start: float = 0.0, turn: float = 2 * np.pi, count: int = 64) -> Points:
    angle = start + np.linspace(0, turn, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius  # (count, 2)


def _box(x0: float, y0: float, x1: float, y1: float) -> Points:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def disc(rng: np.random.Generator) -> Outline:
    """A circle; placing it may squeeze it to an ellipse."""
    return [_circle()]


def half_disc(rng: np.random.Generator) -> Outline:
    """A sector of 150 to 300 degrees."""
    turn = rng.uniform(2.6, 5.2)
    return [np.vstack([_circle(1, 0, turn), [[0.0, 0.0]]])]


def polygon(rng: np.random.Generator) -> Outline:
    """A triangle to octagon with uneven corners."""
    corners = int(rng.integers(3, 9))
    angle = (np.arange(corners) + rng.uniform(-0.22, 0.22, corners)) * 2 * np.pi / corners
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]


def rectangle(rng: np.random.Generator) -> Outline:
    """A square to 1:2.5 rectangle."""
    side = rng.uniform(0.4, 1.0)
    return [_box(-1, -side, 1, side)]


def star(rng: np.random.Generator) -> Outline:
    """A star of 4 to 8 points."""
    points = int(rng.integers(4, 9))
    radius = np.where(np.arange(2 * points) % 2, rng.uniform(0.42, 0.62), 1.0)
    return [_circle(1, 0, count=2 * points) * radius[:, None]]


def gear(rng: np.random.Generator) -> Outline:
    """A wheel with teeth and a hole."""
    teeth = int(rng.integers(6, 11))
    radius = np.where(np.arange(4 * teeth) % 4 < 2, 1.0, 0.76)
    return [_circle(1, 0, count=4 * teeth) * radius[:, None], _circle(rng.uniform(0.22, 0.36))]


def ring(rng: np.random.Generator) -> Outline:
    """A ring with an open middle."""
    return [_circle(), _circle(rng.uniform(0.45, 0.68))]


def frame(rng: np.random.Generator) -> Outline:
    """A rectangle with an open middle."""
    side, border = rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.42)
    return [_box(-1, -side, 1, side), _box(border - 1, border - side, 1 - border, side - border)]


def crescent(rng: np.random.Generator) -> Outline:
    """A crescent moon."""
    reach = rng.uniform(0.7, 1.0)  # half the angle over which the inner edge bites
    outer = _circle(1, reach, 2 * np.pi - 2 * reach)
    depth = rng.uniform(0.15, 0.45)
    tips = np.array([np.cos(reach), np.sin(reach)])
    angle = np.linspace(-np.pi / 2, np.pi / 2, 32)
    inner = np.stack([tips[0] - (tips[0] + depth) * np.cos(angle), np.sin(angle) * tips[1]], axis=1)
    return [np.vstack([outer, inner])]


def arc(rng: np.random.Generator) -> Outline:
    """A thick arc of 120 to 300 degrees."""
    turn, inner = rng.uniform(2.1, 5.2), rng.uniform(0.5, 0.72)
    return [np.vstack([_circle(1, 0, turn), _circle(inner, 0, turn)[::-1]])]


def cross(rng: np.random.Generator) -> Outline:
    """A plus sign."""
    a = rng.uniform(0.22, 0.4)
    corner = np.array([[a, a], [a, 1.0], [-a, 1.0]])
    quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
    return [np.vstack([corner @ np.linalg.matrix_power(quarter, i).T for i in range(4)])]


def letter(rng: np.random.Generator) -> Outline:
    """One of L, U, T, S, H and E, of even strokes."""
    a = rng.uniform(0.44, 0.6)  # width of a stroke
    b = a / 2
    mirrored: list[list[list[float]]] = [
        [[-1, -1], [a - 1, -1], [a - 1, -b], [1 - a, -b], [1 - a, -1], [1, -1]],
        [[-1, -1], [1, -1], [1, -0.6], [-0.6, -0.6], [-0.6, -0.2], [0.7, -0.2]],
    ]
    strokes: list[list[list[float]]] = [
        [[-1, -1], [a - 1, -1], [a - 1, 1 - a], [1, 1 - a], [1, 1], [-1, 1]],
        [[-1, -1], [a - 1, -1], [a - 1, 1 - a], [1 - a, 1 - a], [1 - a, -1], [1, -1], [1, 1], [-1, 1]],
        [[-1, -1], [1, -1], [1, a - 1], [b, a - 1], [b, 1], [-b, 1], [-b, a - 1], [-1, a - 1]],
        [[-1, -1], [b, -1], [b, 1 - a], [1, 1 - a], [1, 1], [-b, 1], [-b, a - 1], [-1, a - 1]],
        *([*half, *([x, -y] for x, y in reversed(half))] for half in mirrored),
    ]
    return [np.array(strokes[int(rng.integers(len(strokes)))], dtype=np.float64)]


def arrow(rng: np.random.Generator) -> Outline:
    """An arrow with a shaft."""
    a, neck = rng.uniform(0.18, 0.32), rng.uniform(-0.1, 0.3)
    wing = rng.uniform(0.65, 0.9)
    half = np.array([[-1, -a], [neck, -a], [neck, -wing], [1, 0]])
    return [np.vstack([half, half[2::-1] * [1, -1]])]


def bar(rng: np.random.Generator) -> Outline:
    """A thin bar, straight or bent, with round or square ends."""
    thin, bend = rng.uniform(0.07, 0.16), rng.uniform(-0.35, 0.35) * rng.integers(2)
    x = np.linspace(-1, 1, 24)
    middle = np.stack([x, bend * (x * x - 0.5)], axis=1)
    slope = 2 * bend * x
    normal = np.stack([-slope, np.ones_like(x)], axis=1) / np.sqrt(1 + slope**2)[:, None]
    return [np.vstack([middle + thin * normal, (middle - thin * normal)[::-1]])]


def blob(rng: np.random.Generator) -> Outline:
    """A smooth lump, often with bays."""
    angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    wave = np.arange(2, 6)[:, None]
    size = rng.uniform(-0.2, 0.2, (4, 1)) / np.sqrt(wave - 1)
    radius = 0.75 + (size * np.sin(wave * angle + rng.uniform(0, 6.3, (4, 1)))).sum(axis=0)
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None]]


def heart(rng: np.random.Generator) -> Outline:
    """A heart."""
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([16 * np.sin(t) ** 3, -y - 2.5], axis=1) / 16]


def drop(rng: np.random.Generator) -> Outline:
    """A drop with one pointed end."""
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    return [np.stack([np.cos(t), np.sin(t) * np.sin(t / 2) ** rng.uniform(1.0, 2.0)], axis=1)]


SHAPES: tuple[Callable[[np.random.Generator], Outline], ...] = (
    *(disc, half_disc, polygon, rectangle, star, gear, ring, frame, crescent),
    *(arc, cross, letter, arrow, bar, blob, heart, drop),
)
