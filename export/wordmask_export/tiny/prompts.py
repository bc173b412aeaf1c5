"""Training data for SAM2: scenes resized to its square, with clicks, boxes and masks.

Most steps use a part of the square at its true position: position embeddings, windows and coordinates are those of the
whole square, but the cost is lower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask_bench.scenes import Scene, generate
from wordmask_export.tiny.data import WORDS, generator

Kind = Literal["click", "points", "box"]
LEAST_AREA = 60  # least visible area of a target, in pixels of SAM2's square
SCENES_A_BLOCK, STEPS_A_BLOCK = 32, 60
_TRIES = 4  # squares tried until a part shows an object


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


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of one kind on parts of some squares.

    Attributes:
        images: u8 (B, side, side, 3).
        image_index: i64 (N,), index of each prompt's image.
        coords: f32 (N, P, 2), x and y in pixels of the whole square.
        labels: i32 (N, P), as in sam2.
        masks: f32 (N, side / 4, side / 4), coverage.
        words: i64 (N,), the word of each prompted object or background.
        class_maps: u8 (B, side / 4, side / 4).
    """

    images: NDArray[np.uint8]
    image_index: NDArray[np.int64]
    coords: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: NDArray[np.float32]
    words: NDArray[np.int64]
    class_maps: NDArray[np.uint8]


def square(scene: Scene, size: int) -> Square:
    """Resizes a scene as the runtime does for SAM2."""
    owners = np.zeros(scene.class_map.shape, np.uint8)
    for number, instance in enumerate(scene.instances, start=1):
        owners[instance.mask] = number
    image = np.asarray(Image.fromarray(scene.image).resize((size, size), Image.Resampling.BILINEAR))
    owners = np.asarray(cv2.resize(owners, (size, size), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    words = [WORDS.index(scene.background), *(instance.class_index for instance in scene.instances)]
    return Square(image, owners, np.array(words, np.uint8))


class PromptStream:
    """Batches of prompts by step number; a block of scenes is used for several steps with new prompts."""

    def __init__(self, seed: int, size: int, *, scenes: int = SCENES_A_BLOCK) -> None:
        self.seed, self.size, self.scenes = seed, size, scenes
        self._held: tuple[int, list[Square]] | None = None

    def __call__(self, step: int, *, images: int, prompts: int, offset: tuple[int, int], side: int) -> Batch:
        """The batch of a step: `images` parts of the given side at an offset (y, x), with `prompts` prompts on each."""
        rng = generator(self.seed, 5, step)
        squares = self._block(step // STEPS_A_BLOCK)
        kind: Kind = ("click", "box", "click", "points")[step % 4]
        rows, columns = slice(offset[0], offset[0] + side), slice(offset[1], offset[1] + side)
        found: list[tuple[NDArray[np.uint8], NDArray[np.uint8], list[_Prompted]]] = []
        while len(found) < images:
            for _ in range(_TRIES):
                chosen = _flipped(rng, squares[int(rng.integers(len(squares)))])
                owners = np.ascontiguousarray(chosen.owners[rows, columns])
                if np.count_nonzero(owners) >= LEAST_AREA:
                    break
            prompted = _prompt_all(rng, owners, chosen.words, kind, prompts)
            found.append((chosen.image[rows, columns], chosen.words[owners[2::4, 2::4]], prompted))
        index = np.repeat(np.arange(images), prompts)
        pictures, class_maps = np.stack([entry[0] for entry in found]), np.stack([entry[1] for entry in found])
        every = [prompt for *_, prompted in found for prompt in prompted]
        coords = np.stack([prompt.coords for prompt in every]) + np.array(offset[::-1], np.float32)
        labels, masks = (np.stack([getattr(prompt, name) for prompt in every]) for name in ("labels", "mask"))
        words = np.array([prompt.word for prompt in every], np.int64)
        return Batch(pictures, index, coords, labels, masks, words, class_maps)

    def _block(self, number: int) -> list[Square]:
        if self._held is None or self._held[0] != number:
            rng = generator(self.seed, 4, number)
            seeds = rng.integers(2**62, size=self.scenes)
            self._held = (number, [square(generate(int(seed)), self.size) for seed in seeds])
        return self._held[1]


@dataclass(frozen=True, eq=False)
class _Prompted:
    coords: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.float32]
    word: int


def _flipped(rng: np.random.Generator, whole: Square) -> Square:
    step = 1 - 2 * int(rng.integers(2))
    return Square(
        np.ascontiguousarray(whole.image[:, ::step]), np.ascontiguousarray(whole.owners[:, ::step]), whole.words
    )


def _prompt_all(
    rng: np.random.Generator, owners: NDArray[np.uint8], words: NDArray[np.uint8], kind: Kind, count: int
) -> list[_Prompted]:
    """Prompts on the visible objects in rotation, whatever their size, and less often on the background."""
    sizes = np.bincount(owners.ravel(), minlength=1)
    targets = [i for i in np.flatnonzero(sizes >= LEAST_AREA).tolist() if i or rng.uniform() < 0.3]
    targets = list(rng.permutation(targets or [int(sizes.argmax())]))
    chosen = [int(targets[i % len(targets)]) for i in range(count)]
    return [_prompt(rng, (owners == target).astype(np.uint8), int(words[target]), kind) for target in chosen]


def _prompt(rng: np.random.Generator, inside: NDArray[np.uint8], word: int, kind: Kind) -> _Prompted:
    side = inside.shape[0]
    coverage = cv2.resize(inside.astype(np.float32), (side // 4, side // 4), interpolation=cv2.INTER_AREA)
    mask = np.asarray(coverage, np.float32)
    if kind == "box":
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        corners = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]], np.float32)
        corners += rng.normal(0, 0.02, (2, 2)).astype(np.float32) * (corners[1] - corners[0])
        return _Prompted(corners.astype(np.float32), np.array([2, 3], np.int32), mask, word)
    points = [click(rng, inside)]
    labels = [1]
    if kind == "points":
        outside = 1 - inside
        points.append(click(rng, inside))
        points.append(click(rng, outside if outside.any() else inside))
        labels += [1, 0 if outside.any() else 1]
    return _Prompted(np.stack(points), np.array(labels, np.int32), mask, word)


def click(rng: np.random.Generator, inside: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A random point (x, y) inside: half of them far from the outline, like the runtime's, half anywhere."""
    ys, xs = np.nonzero(inside)
    if rng.uniform() < 0.5:
        i = int(rng.integers(len(ys)))
        return np.array([xs[i] + 0.5, ys[i] + 0.5], np.float32)
    y, x = int(ys.mean()), int(xs.mean())
    if not inside[y, x] or rng.uniform() < 0.5:
        depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)  # type: ignore[assignment]
    return np.array([x + 0.5, y + 0.5], np.float32)
