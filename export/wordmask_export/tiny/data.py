"""Training data: scenes resized as the runtime resizes photos, and windows cut from them.

All of it is determined by a seed and a block number, so an interrupted training continues with the same data.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench import scenes, things
from wordmask_bench.scenes import BACKGROUNDS, COLOURS, HELD_OUT, PATTERNS, Scene
from wordmask_export.graphs.specs import Protocol

STRIDE = 100  # six patches and a quarter: the patches of neighbouring windows do not lie on one grid
PROTOCOL = Protocol(window=128, stride=STRIDE, short_side=512, long_side=1280, mask_prompts=True)

World = Literal["patterns", "things"]  # objects of wordmask_bench.scenes, or of wordmask_bench.things
WORLDS: tuple[World, World] = ("patterns", "things")
WORDS = scenes.vocabulary() + things.vocabulary()
NO_WORD = len(WORDS)  # class of a photo behind things
CLASSES = len(WORDS) + 1
TRAINED = tuple(i for i, word in enumerate(WORDS) if word not in HELD_OUT)  # indices into WORDS
PATTERN_WORDS = len(COLOURS) * len(PATTERNS)  # colours with patterns: the first ones of WORDS
IS_OBJECT = np.array([word not in BACKGROUNDS for word in WORDS] + [False])  # of each class
assert not IS_OBJECT[PATTERN_WORDS : PATTERN_WORDS + len(BACKGROUNDS)].any()


def class_of(word: str) -> int:
    """The class of a scene's word: its index in WORDS, or NO_WORD."""
    return NO_WORD if word == things.NO_WORD else WORDS.index(word)


_OF_THINGS = np.array([class_of(word) for word in things.classes()], np.uint16)

SCENES_A_BLOCK = 40
WINDOWS_A_SCENE = 12
_ON_OBJECTS = 0.7  # share of the windows that are centred within an object's box


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows cut from scenes.

    Attributes:
        images: u8 (N, S, S, 3), RGB.
        class_maps: u8 (N, S, S), index into WORDS, or NO_WORD.
    """

    images: NDArray[np.uint8]
    class_maps: NDArray[np.uint8]

    def __getitem__(self, rows: slice) -> Windows:
        """Some of the windows."""
        return Windows(self.images[rows], self.class_maps[rows])


def generator(seed: int, *path: int) -> np.random.Generator:
    """A random generator for one purpose, which the path identifies."""
    return np.random.default_rng(np.random.SeedSequence([seed, *path]))


def draw_scene(rng: np.random.Generator, world: World) -> Scene:
    """A new scene for training; its class map has indices into WORDS, or NO_WORD."""
    seed = int(rng.integers(2**62))
    if world == "patterns":
        return scenes.generate(seed)
    scene = things.generate(seed)
    return dataclasses.replace(scene, class_map=_OF_THINGS[scene.class_map])


def resized(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float]:
    """A scene's image and class map at the size that CLIP gets, and the scale."""
    height, width = scene.class_map.shape
    scale = min(PROTOCOL.long_side / max(height, width), PROTOCOL.short_side / min(height, width))
    size = (int(width * scale + 0.5), int(height * scale + 0.5))
    image = cv2.resize(scene.image, size, interpolation=cv2.INTER_LINEAR)
    labels = cv2.resize(scene.class_map.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(image, np.uint8), np.asarray(labels, np.uint8), scale


def block(
    seed: int, number: int, *, world: World = "patterns", scenes: int = SCENES_A_BLOCK, side: int = PROTOCOL.window
) -> Windows:
    """Cuts 12 windows from each of some new scenes; half are mirrored, and all are shuffled.

    Args:
        seed: of the training.
        number: of the block.
        world: of the scenes.
        scenes: number of scenes.
        side: of the windows, pixels.
    """
    rng = generator(seed, 1, number)
    images = np.empty((scenes * WINDOWS_A_SCENE, side, side, 3), np.uint8)
    labels = np.empty(images.shape[:3], np.uint8)
    for row, place in enumerate(rng.permutation(len(images))):
        if row % WINDOWS_A_SCENE == 0:
            scene = draw_scene(rng, world)
            image, class_map, scale = resized(scene)
        y, x = _origin(rng, scene, scale, (class_map.shape[0], class_map.shape[1]), side)
        step = 1 - 2 * int(rng.integers(2))  # -1 mirrors
        images[place] = image[y : y + side, x : x + side][:, ::step]
        labels[place] = class_map[y : y + side, x : x + side][:, ::step]
    return Windows(images, labels)


def _origin(rng: np.random.Generator, scene: Scene, scale: float, size: tuple[int, int], side: int) -> tuple[int, int]:
    last = (size[0] - side, size[1] - side)
    if rng.uniform() >= _ON_OBJECTS:
        return int(rng.integers(last[0] + 1)), int(rng.integers(last[1] + 1))
    x0, y0, x1, y1 = scene.instances[int(rng.integers(len(scene.instances)))].box
    centre = scale * rng.uniform(y0, y1), scale * rng.uniform(x0, x1)
    y, x = (min(max(int(c) - side // 2, 0), end) for c, end in zip(centre, last, strict=True))
    return y, x


class WindowStream:
    """Batches of windows by step number; each window is used `repeats` times, blocks are made when needed."""

    def __init__(
        self,
        seed: int,
        batch: int,
        *,
        world: World = "patterns",
        repeats: int = 2,
        scenes: int = SCENES_A_BLOCK,
        side: int = PROTOCOL.window,
    ) -> None:
        self.seed, self.batch, self.world, self.scenes, self.side = seed, batch, world, scenes, side
        self.per_pass = scenes * WINDOWS_A_SCENE // batch
        self.steps_a_block = self.per_pass * repeats
        self._held: tuple[int, Windows] | None = None

    def __call__(self, step: int) -> Windows:
        """The batch of a step."""
        number, offset = divmod(step, self.steps_a_block)
        if self._held is None or self._held[0] != number:
            self._held = (number, block(self.seed, number, world=self.world, scenes=self.scenes, side=self.side))
        windows = self._held[1]
        order = generator(self.seed, 2, number, offset // self.per_pass).permutation(len(windows.images))
        start = offset % self.per_pass * self.batch
        rows = order[start : start + self.batch]
        return Windows(windows.images[rows], windows.class_maps[rows])


class BothWorlds:
    """Windows of both worlds at every step.

    Args:
        seed: of the training.
        batch: windows of patterns, and of things.
        scenes: in a block, for each window of a batch.
    """

    def __init__(self, seed: int, batch: tuple[int, int], *, scenes: int) -> None:
        self.patterns, self.things = (
            WindowStream(seed, count, world=world, scenes=scenes * count)
            for count, world in zip(batch, WORLDS, strict=True)
        )
        self.steps_a_block = self.patterns.steps_a_block

    def __call__(self, step: int) -> tuple[Windows, Windows]:
        """The batch of a step."""
        return self.patterns(step), self.things(step)
