"""Small squares cut from scenes: training data at a fraction of the cost of a scene each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes.scene import Scene, generate
from wordmask_bench.scenes.words import Combinations

_STREAM = 3  # beside those of whole scenes
_AREA = 1.5  # crops cut from a scene, together as large as this many scenes at most
_CROPS_AN_OBJECT = 2  # no more from a scene with few objects: they would repeat
_ON_OBJECTS = 0.85  # share of the crops


def crops(
    seed: int, count: int, side: int, *, combinations: Combinations = "train"
) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Cuts many small squares from scenes of 256 to 384 pixels a side (more if a crop needs it).

    Most are centred within an object's box; a good part shows objects cut by the frame. Half are mirrored. Neighbours
    in the result come from one scene: shuffle the results of a call with a large count.

    Args:
        seed: not negative.
        count: how many.
        side: pixels, at least 64.
        combinations: see generate.

    Raises:
        ValueError: an argument is out of its range.

    Returns:
        Pictures u8 (count, side, side, 3), RGB, and class maps u16 (count, side, side), see Scene.
    """
    if seed < 0 or side < 64:
        raise ValueError(f"seed is {seed} and side {side}: the seed must not be negative, the side be at least 64")
    rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed]))
    images = np.empty((count, side, side, 3), dtype=np.uint8)
    class_maps = np.empty((count, side, side), dtype=np.uint16)
    done = 0
    while done < count:
        size = (max(side, int(rng.integers(256, 385))), max(side, int(rng.integers(256, 385))))
        scene = generate(int(rng.integers(2**62)), combinations=combinations, size=size)
        fitting = min(int(_AREA * size[0] * size[1] / side**2), _CROPS_AN_OBJECT * len(scene.instances) + 1)
        for _ in range(min(count - done, max(1, fitting))):
            y0, x0 = _origin(rng, scene, side)
            step = 1 - 2 * int(rng.integers(2))  # -1 mirrors
            images[done] = scene.image[y0 : y0 + side, x0 : x0 + side][:, ::step]
            class_maps[done] = scene.class_map[y0 : y0 + side, x0 : x0 + side][:, ::step]
            done += 1
    return images, class_maps


def _origin(rng: np.random.Generator, scene: Scene, side: int) -> tuple[int, int]:
    height, width = scene.class_map.shape
    if rng.uniform() < _ON_OBJECTS:
        x0, y0, x1, y1 = scene.instances[int(rng.integers(len(scene.instances)))].box
        y, x = int(rng.integers(y0, y1)) - side // 2, int(rng.integers(x0, x1)) - side // 2
        return min(max(y, 0), height - side), min(max(x, 0), width - side)
    return int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
