"""Makes a scene of drawn things from a seed: image, class map and masks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes import BACKGROUNDS, Combinations, Scene
from wordmask_bench.scenes.render import cast_shadow, photograph
from wordmask_bench.scenes.scene import begin, label
from wordmask_bench.things.behind import NO_WORD, background
from wordmask_bench.things.drawings import drawings
from wordmask_bench.things.placing import Placed, arrange
from wordmask_bench.things.words import vocabulary

_STREAMS: dict[Combinations, int] = {"train": 3, "test": 4, "unseen": 5}


def generate(seed: int, *, combinations: Combinations = "train", size: tuple[int, int] | None = None) -> Scene:
    """Makes a scene.

    Args:
        seed: not negative; it gives a different scene for each of the combinations.
        combinations: "train" for drawings and photos that training sees, "test" for these drawings and "unseen" for
            drawings that it does not see, both on photos that it does not see.
        size: (H, W), at least 64 each; None draws each side between 224 and 640.

    Returns:
        The scene. Its class map has indices into classes(); a photo behind the things has the word "" (NO_WORD).

    Raises:
        ValueError: an argument is out of range.
    """
    rng, size = begin(_STREAMS[combinations], seed, size)
    things = arrange(rng, drawings(held_out=combinations == "unseen"), size)
    word, canvas = background(rng, size, training=combinations == "train")
    darkness, angle = max(rng.uniform(-0.3, 0.5), 0.0), rng.uniform(0, 2 * np.pi)
    for thing in reversed(things):
        if darkness:
            reach = min(2 + 0.05 * max(thing.alpha.shape), 10)
            shift = (round(reach * np.sin(angle)), round(reach * np.cos(angle)))
            cast_shadow(canvas, thing.alpha, (thing.y0, thing.x0), darkness, shift)
        _paste(canvas, thing)
    return label(photograph(rng, canvas), word, things, classes())


def classes() -> tuple[str, ...]:
    """The 28 words of things, the 8 painted backgrounds, and "" for a photo."""
    return (*vocabulary(), *BACKGROUNDS, NO_WORD)


def _paste(canvas: NDArray[np.uint8], thing: Placed) -> None:
    height, width = thing.alpha.shape
    view = canvas[thing.y0 : thing.y0 + height, thing.x0 : thing.x0 + width]
    through = 1 - thing.alpha * np.float32(1 / 255)
    view[...] = np.clip(view * through[..., None] + thing.colour, 0, 255)
