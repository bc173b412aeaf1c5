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

from wordmask_export.tiny.data import World, generator
from wordmask_export.tiny.rough_masks import rough_masks
from wordmask_export.tiny.squares import Square, crowded_scene, square

Kind = Literal["click", "points", "box"]
KINDS: tuple[Kind, ...] = ("click", "box", "click", "points", "click")  # of the steps in rotation
LEAST_AREA = 36  # least visible area of a target, in pixels of SAM2's square
SCENES_A_BLOCK, STEPS_A_BLOCK = 32, 60
COVERED = 4  # pixels of a whole value of a mask
WITHOUT_MASKS = 4  # of so many rounds of KINDS in the second half, one has prompts without masks
_TRIES = 4  # squares tried until a part shows an object


@dataclass(frozen=True)
class Phase:
    """The data in one phase of the training.

    Attributes:
        start: share of the steps before it.
        side: of the parts of squares, in pixels; None for whole squares.
        images: per step.
        prompts: per image.
        helped: by the auxiliary losses.
        crowded: of four steps, how many have CROWDED parts.
    """

    start: float
    side: int | None
    images: int
    prompts: int
    helped: bool = True
    crowded: int = 0


PHASES = (
    Phase(0.0, 128, 8, 2),
    Phase(0.15, 256, 3, 4),
    Phase(0.5, None, 1, 6, helped=False, crowded=3),
    Phase(0.65, None, 1, 6, helped=False, crowded=2),
    Phase(0.72, None, 1, 6, helped=False, crowded=1),
)
CROWDED = Phase(0.5, 256, 4, 4, helped=False)  # whole scenes, with as many objects in each as else in a square


@dataclass(frozen=True, eq=False)
class Batch:
    """Prompts of one kind on parts of some squares.

    Attributes:
        images: u8 (B, side, side, 3).
        offset: y and x of the parts in their squares, in pixels.
        image_index: i64 (N,), index of each prompt's image.
        coords: f32 (N, P, 2), x and y in pixels of the whole square.
        labels: i32 (N, P), as in sam2.
        masks: u8 (N, side / 2, side / 2), how many of the COVERED pixels are covered.
        words: i64 (N,), the word of each prompted object or background.
        class_maps: u8 (B, side / 4, side / 4).
        helped: whether there are auxiliary losses.
        rough: f32 (N, 1, side / 4, side / 4), logits of the masks in the prompts; None for prompts without.
    """

    images: NDArray[np.uint8]
    offset: tuple[int, int]
    image_index: NDArray[np.int64]
    coords: NDArray[np.float32]
    labels: NDArray[np.int32]
    masks: NDArray[np.uint8]
    words: NDArray[np.int64]
    class_maps: NDArray[np.uint8]
    helped: bool
    rough: NDArray[np.float32] | None = None


class PromptStream:
    """Batches of prompts by step number; a block of scenes is used for several steps with new prompts.

    Args:
        seed: of the training.
        size: side of SAM2's square.
        steps: of the whole training.
        scenes: in a block.
    """

    steps_a_block: int = STEPS_A_BLOCK

    def __init__(self, seed: int, size: int, steps: int, *, scenes: int = SCENES_A_BLOCK) -> None:
        self.seed, self.size, self.steps, self.scenes = seed, size, steps, scenes
        self._held: dict[int, tuple[int, list[Square]]] = {}  # by side

    def __call__(self, step: int) -> Batch:
        """The batch of a step, as its phase has it."""
        phase = next(phase for phase in reversed(PHASES) if step >= phase.start * self.steps)
        if step % 4 < phase.crowded:
            phase = CROWDED
        side = phase.side or self.size
        y, x = generator(self.seed, 6, step).integers((self.size - side) // 128 + 1, size=2) * 128
        return self.draw(step, phase, (int(y), int(x)))

    def draw(self, step: int, phase: Phase, offset: tuple[int, int]) -> Batch:
        """The batch of a step, with parts of the squares at an offset (y, x)."""
        rng, side, crowded = generator(self.seed, 5, step), phase.side or self.size, phase is CROWDED
        squares = self._block(step // STEPS_A_BLOCK, side if crowded else self.size, things=not phase.helped)
        kind = KINDS[step // 4 % len(KINDS)]
        corner = (0, 0) if crowded else offset
        rows, columns = (slice(start, start + side) for start in corner)
        found: list[tuple[NDArray[np.uint8], NDArray[np.uint8], list[_Prompted]]] = []
        while len(found) < phase.images:
            for _ in range(_TRIES):
                chosen = _flipped(rng, squares[int(rng.integers(len(squares)))])
                owners = np.ascontiguousarray(chosen.owners[rows, columns])
                if np.count_nonzero(owners) >= LEAST_AREA:
                    break
            prompted = _prompt_all(rng, owners, chosen.words, kind, phase.prompts)
            found.append((chosen.image[rows, columns], chosen.words[owners[2::4, 2::4]], prompted))
        index = np.repeat(np.arange(phase.images), phase.prompts)
        pictures, class_maps = np.stack([entry[0] for entry in found]), np.stack([entry[1] for entry in found])
        every = [prompt for *_, prompted in found for prompt in prompted]
        coords = np.stack([prompt.coords for prompt in every]) + np.array(offset[::-1], np.float32)
        labels, masks = (np.stack([getattr(prompt, name) for prompt in every]) for name in ("labels", "mask"))
        words = np.array([prompt.word for prompt in every], np.int64)
        rough = None
        if not phase.helped and step // (4 * len(KINDS)) % WITHOUT_MASKS:
            rough = rough_masks(rng, masks.astype(np.float32) * np.float32(1 / COVERED))
        return Batch(pictures, offset, index, coords, labels, masks, words, class_maps, phase.helped, rough)

    def _block(self, number: int, side: int, *, things: bool) -> list[Square]:
        """Squares of a side; every other one has things if these are wanted."""
        if self._held.get(side, (-1, []))[0] != number:
            rng = generator(self.seed, 4, number, side)
            worlds: tuple[World, World] = ("patterns", "things" if things else "patterns")
            scenes = [crowded_scene(rng, side / self.size, worlds[i % 2]) for i in range(self.scenes)]
            self._held[side] = (number, [square(scene, side) for scene in scenes])
        return self._held[side][1]


@dataclass(frozen=True, eq=False)
class _Prompted:
    coords: NDArray[np.float32]
    labels: NDArray[np.int32]
    mask: NDArray[np.uint8]
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
    side = inside.shape[0] // 2
    mask = inside.reshape(side, 2, side, 2).sum((1, 3), dtype=np.uint8)
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
    """A random point (x, y) inside: most of them far from the outline, like the runtime's, a quarter anywhere."""
    ys, xs = np.nonzero(inside)
    if rng.uniform() < 0.25:
        i = int(rng.integers(len(ys)))
        return np.array([xs[i] + 0.5, ys[i] + 0.5], np.float32)
    y, x = int(ys.mean()), int(xs.mean())
    if not inside[y, x] or rng.uniform() < 0.5:
        depth = cv2.distanceTransform(np.pad(inside, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)  # type: ignore[assignment]
    return np.array([x + 0.5, y + 0.5], np.float32)
