"""Scenes for SAM2's training, resized to its square."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask_bench import scenes, things
from wordmask_bench.scenes import COLOURS, LEAST_SIDE, MOST_SIDE, Scene
from wordmask_export.tiny.data import World, class_of


@dataclass(frozen=True, eq=False)
class Square:
    """A scene resized to SAM2's square.

    Attributes:
        image: u8 (S, S, 3).
        owners: u8 (S, S), 0 background, i + 1 the i-th object.
        words: u8 (objects + 1,), the word of each owner, see data.class_of.
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
    words = [scene.background, *(instance.word for instance in scene.instances)]
    return Square(image, owners, np.array([class_of(word) for word in words], np.uint8))


def crowded_scene(rng: np.random.Generator, scale: float, world: World) -> Scene:
    """A scene in which a click on one object must not select others; of patterns, several often have one colour.

    Args:
        rng: source of randomness.
        scale: of its sides. If it then fills that share of the square's side, its objects are as large as in a whole
            square, in pixels, and as many objects are in less room.
        world: of its objects.
    """
    height, width = np.exp(rng.uniform(np.log(LEAST_SIDE), np.log(MOST_SIDE + 1), 2)) * scale
    size, seed = (int(height), int(width)), int(rng.integers(2**62))
    if world == "things":
        return things.generate(seed, size=size)
    count = int(rng.choice((1, 2, 3, len(COLOURS)), p=(0.2, 0.25, 0.15, 0.4)))
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))[:count]]
    return scenes.generate(seed, size=size, colours=colours)
