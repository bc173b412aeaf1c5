"""Training data: scenes resized as the runtime resizes photos, and windows cut from them.

All of it is determined by a seed and a block number, so an interrupted training continues with the same data.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.scenes import BACKGROUNDS, COLOURS, HELD_OUT, PATTERNS, Scene, generate, vocabulary
from wordmask_export.graphs.specs import Protocol

STRIDE = 100  # six patches and a quarter: the patches of neighbouring windows do not lie on one grid
PROTOCOL = Protocol(window=128, stride=STRIDE, short_side=512, long_side=1280)
WORDS = vocabulary()
TRAINED = tuple(i for i, word in enumerate(WORDS) if word not in HELD_OUT)  # indices into WORDS
OBJECT_WORDS = len(COLOURS) * len(PATTERNS)  # the first ones of WORDS
assert len(WORDS) == OBJECT_WORDS + len(BACKGROUNDS)

SCENES_A_BLOCK = 40
WINDOWS_A_SCENE = 12
_ON_OBJECTS = 0.7  # share of the windows that are centred within an object's box


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows cut from scenes.

    Attributes:
        images: u8 (N, S, S, 3), RGB.
        class_maps: u8 (N, S, S), index into WORDS.
    """

    images: NDArray[np.uint8]
    class_maps: NDArray[np.uint8]


def generator(seed: int, *path: int) -> np.random.Generator:
    """A random generator for one purpose, which the path identifies."""
    return np.random.default_rng(np.random.SeedSequence([seed, *path]))


def resized(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """A scene's image and class map at the size that CLIP gets, and the scale."""
    height, width = scene.class_map.shape
    scale = min(PROTOCOL.long_side / max(height, width), PROTOCOL.short_side / min(height, width))
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    image = cv2.resize(scene.image, size, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(scene.class_map.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(image, np.uint8), np.asarray(labels, np.uint8), scale


def block(seed: int, number: int, *, scenes: int = SCENES_A_BLOCK) -> Windows:
    """Cuts 12 windows from each of some new scenes; half are mirrored, and all are shuffled.

    Args:
        seed: of the training.
        number: of the block.
        scenes: number of scenes.
    """
    rng, side = generator(seed, 1, number), PROTOCOL.window
    images = np.empty((scenes * WINDOWS_A_SCENE, side, side, 3), np.uint8)
    labels = np.empty(images.shape[:3], np.uint8)
    for row, place in enumerate(rng.permutation(len(images))):
        if row % WINDOWS_A_SCENE == 0:
            scene = generate(int(rng.integers(2**62)))
            image, class_map, scale = resized(scene)
        y, x = _origin(rng, scene, scale, (class_map.shape[0], class_map.shape[1]))
        step = 1 - 2 * int(rng.integers(2))  # -1 mirrors
        images[place] = image[y : y + side, x : x + side][:, ::step]
        labels[place] = class_map[y : y + side, x : x + side][:, ::step]
    return Windows(images, labels)


def _origin(rng: np.random.Generator, scene: Scene, scale: float, size: tuple[int, int]) -> tuple[int, int]:
    last = (size[0] - PROTOCOL.window, size[1] - PROTOCOL.window)
    if rng.uniform() >= _ON_OBJECTS:
        return int(rng.integers(last[0] + 1)), int(rng.integers(last[1] + 1))
    x0, y0, x1, y1 = scene.instances[int(rng.integers(len(scene.instances)))].box
    centre = scale * rng.uniform(y0, y1), scale * rng.uniform(x0, x1)
    y, x = (min(max(int(c) - PROTOCOL.window // 2, 0), end) for c, end in zip(centre, last, strict=True))
    return y, x


class WindowStream:
    """Batches of windows by step number; each window is used `repeats` times, blocks are made when needed."""

    def __init__(self, seed: int, batch: int, *, repeats: int = 2, scenes: int = SCENES_A_BLOCK) -> None:
        self.seed, self.batch, self.scenes = seed, batch, scenes
        self.per_pass = scenes * WINDOWS_A_SCENE // batch
        self.steps_a_block = self.per_pass * repeats
        self._held: tuple[int, Windows] | None = None

    def __call__(self, step: int) -> Windows:
        """The batch of a step."""
        number, offset = divmod(step, self.steps_a_block)
        if self._held is None or self._held[0] != number:
            self._held = (number, block(self.seed, number, scenes=self.scenes))
        windows = self._held[1]
        order = generator(self.seed, 2, number, offset // self.per_pass).permutation(len(windows.images))
        start = offset % self.per_pass * self.batch
        rows = order[start : start + self.batch]
        return Windows(windows.images[rows], windows.class_maps[rows])
