"""Makes a scene from a seed: image, class map and masks of its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.objects import arrange
from wordmask_bench.scenes.render import render
from wordmask_bench.scenes.words import BACKGROUNDS, Combinations, object_words, vocabulary

LEAST_SIDE, MOST_SIDE = 224, 640  # of scenes without a given size
_STREAMS: dict[Combinations, int] = {"train": 0, "test": 1, "unseen": 2}


@dataclass(frozen=True, eq=False)
class SceneInstance:
    """The visible part of one object.

    Attributes:
        mask: bool (H, W); masks of a scene are disjoint.
        word: its phrase.
        class_index: index into vocabulary().
        box: x0, y0, x1, y1 in pixels, x1 and y1 exclusive, of the visible part.
    """

    mask: NDArray[np.bool_]
    word: str
    class_index: int
    box: tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Scene:
    """An image with its labels.

    Attributes:
        image: u8 (H, W, 3), RGB.
        class_map: u16 (H, W), index into vocabulary(). It starts at 0, because every pixel has a word; in label PNGs
            and in the runtime's maps the first class is 1, and 0 is no class.
        instances: front first.
        words: of the visible objects in vocabulary order, then of the background if any of it is visible.
        background: word of the background.
    """

    image: NDArray[np.uint8]
    class_map: NDArray[np.uint16]
    instances: tuple[SceneInstance, ...]
    words: tuple[str, ...]
    background: str


def generate(
    seed: int,
    *,
    combinations: Combinations = "train",
    size: tuple[int, int] | None = None,
    colours: Sequence[str] | None = None,
) -> Scene:
    """Makes a scene.

    Args:
        seed: not negative; it gives a different scene for each of the combinations.
        combinations: phrases that objects may have: "train" all but HELD_OUT, "unseen" only HELD_OUT, "test" all.
        size: (H, W), at least 64 each; None draws each side between 224 and 640.
        colours: of the objects, some of COLOURS; None allows all.

    Raises:
        ValueError: an argument is out of range.
    """
    words = [word for word in object_words(combinations) if colours is None or word.split()[0] in colours]
    if not words:
        raise ValueError(f"no object has any of the colours {colours}")
    rng, size = begin(_STREAMS[combinations], seed, size)
    background = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    objects = arrange(rng, words, size)
    image = render(rng, background, objects, size)
    return label(image, background, objects, vocabulary())


def begin(stream: int, seed: int, size: tuple[int, int] | None) -> tuple[np.random.Generator, tuple[int, int]]:
    """A scene's random generator, and its size (H, W), drawn if it is None.

    Raises:
        ValueError: the seed is negative, or a side is under 64 pixels.
    """
    if seed < 0:
        raise ValueError(f"seed is {seed}: it must not be negative")
    if size is not None and min(size) < 64:
        raise ValueError(f"size is {size}: a scene needs at least 64 x 64 pixels")
    rng = np.random.default_rng(np.random.SeedSequence([stream, seed]))
    drawn = np.exp(rng.uniform(np.log(LEAST_SIDE), np.log(MOST_SIDE + 1), 2))
    return rng, size or (int(drawn[0]), int(drawn[1]))


class Visible(Protocol):
    """An object at its position: see objects.Placed."""

    @property
    def word(self) -> str: ...  # noqa: D102

    @property
    def x0(self) -> int: ...  # noqa: D102

    @property
    def y0(self) -> int: ...  # noqa: D102

    @property
    def visible(self) -> NDArray[np.bool_]: ...  # noqa: D102


def label(image: NDArray[np.uint8], background: str, objects: Sequence[Visible], classes: tuple[str, ...]) -> Scene:
    """The scene of an image and its objects; its class map has indices into the classes, of which "" is no word."""
    index = {word: i for i, word in enumerate(classes)}
    class_map = np.full(image.shape[:2], index[background], dtype=np.uint16)
    instances = []
    for thing in objects:
        mask = np.zeros(image.shape[:2], dtype=np.bool_)
        height, width = thing.visible.shape
        mask[thing.y0 : thing.y0 + height, thing.x0 : thing.x0 + width] = thing.visible
        class_map[mask] = index[thing.word]
        rows, columns = (np.flatnonzero(thing.visible.any(axis=axis)) for axis in (1, 0))
        x0, y0 = thing.x0 + int(columns[0]), thing.y0 + int(rows[0])
        box = (x0, y0, thing.x0 + int(columns[-1]) + 1, thing.y0 + int(rows[-1]) + 1)
        instances.append(SceneInstance(mask, thing.word, index[thing.word], box))
    present = np.flatnonzero(np.bincount(class_map.ravel(), minlength=len(index)))
    words = tuple(classes[i] for i in present if classes[i])
    return Scene(image, class_map, tuple(instances), words, background)
