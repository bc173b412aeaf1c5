"""Scenes for SAM2's training, resized to its square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask_bench.scenes import COLOURS, LEAST_SIDE, MOST_SIDE, Scene, generate
from wordmask_export.tiny.data import WORDS


@dataclass(frozen=True, eq=False)
class Square:
    """A scene resized to SAM2's square.

    Attributes:
        image: u8 (S, S, 3).
        owners: u8 (S, S), 0 background, i + 1 the i-th object.
        words: u8 (objects + 1,), the word of each owner, as an index into data.WORDS.
    """

    image: NDArray[np.uint8]
    owners: NDArray[np.uint8]
    words: NDArray[np.uint8]


def square(scene: Scene, size: int) -> Square:
    """Resizes a scene as the runtime does for SAM2."""
    owners = np.zeros(scene.class_map.shape, np.uint8)
    for number, instance in enumerate(scene.instances, start=1):
        owners[instance.mask] = number
    image = np.asarray(Image.fromarray(scene.image).resize((size, size), Image.Resampling.BILINEAR))
    owners = np.asarray(cv2.resize(owners, (size, size), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    words = [WORDS.index(scene.background), *(instance.class_index for instance in scene.instances)]
    return Square(image, owners, np.array(words, np.uint8))


def few_colours(rng: np.random.Generator, scale: float) -> Scene:
    """A scene that often has several objects of a colour, which a click on one of them must not select.

    Args:
        rng: source of randomness.
        scale: of its sides. If it then fills that share of the square's side, its objects are as large as in a whole
            square, in pixels, and as many objects are in less room.
    """
    count = int(rng.choice((1, 2, 3, len(COLOURS)), p=(0.2, 0.25, 0.15, 0.4)))
    height, width = np.exp(rng.uniform(np.log(LEAST_SIDE), np.log(MOST_SIDE + 1), 2)) * scale
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))[:count]]
    return generate(int(rng.integers(2**62)), size=(int(height), int(width)), colours=colours)
