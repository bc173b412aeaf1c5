"""From the windows' similarities to one class map of the photo, by SCLIP's protocol.

At the photo's size there are tens of millions of probabilities, and none is needed twice: they are made a few rows at a
time and reduced while they are in the processor's cache. The photo is classified in blocks, each on a thread of its
own; a block is a strip of the photo or, where there are many words, a part of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.dense.similarities import PART_BYTES, BasisProjection, Similarities
from wordmask.resize import source_positions

BLOCK_ROWS = 96  # of the photo: the most that a thread takes at a time
SCORE_BYTES = 1 << 20  # of probabilities held at once by a thread: about its second-level cache
_ALIGNED = 64  # rows are padded to a multiple of this, whole vectors: all words round alike, equal ones stay equal
Block = tuple[slice, slice]  # rows and columns of the photo


@dataclass(frozen=True, eq=False)
class ClassMap:
    """The most probable class of every pixel of a photo (H, W).

    Attributes:
        index: i32 (H, W), into the classes.
        confidence: f32 (H, W), that class's probability.
        best: f32 (classes,), each class's highest probability at any pixel.
    """

    index: NDArray[np.int32]
    confidence: Floats
    best: Floats

    def labels(self, count: int) -> NDArray[np.uint16]:
        """The map as labels u16 (H, W): the index + 1 of the first `count` classes, 0 for the background after them."""
        return (self.index.astype(np.uint16) + np.uint16(1)) * (self.index < count)


def classify(
    logits: Floats,
    class_starts: Sequence[int],
    size: tuple[int, int],
    logit_scale: float,
    *,
    projection: BasisProjection | None = None,
    threads: int = 1,
) -> ClassMap:
    """Similarities to the photo's resolution, softmax over all words, then the most probable class.

    Args:
        logits: f32 (C, h, w), cosine similarity with each word; or, with `projection`, with a basis of their space.
        class_starts: index of each class's first word; a class's probability is that of its most probable synonym.
        size: height and width of the photo.
        logit_scale: multiplies the similarities.
        projection: see wordmask.dense.similarities.
        threads: blocks worked on at the same time; the result does not depend on it.
    """
    index, confidence = np.empty(size, np.int32), np.empty(size, np.float32)
    best = np.zeros(len(class_starts), np.float32)
    found = Similarities(logits, projection)

    def work(block: Block) -> Floats:
        resizing = _Resizing(found, size, block, logit_scale)
        return _classify_block(resizing, class_starts, index[block], confidence[block])

    with ThreadPoolExecutor(threads, "class_map") as pool:
        for of_block in pool.map(work, _blocks(found, size)):
            np.maximum(best, of_block, out=best)
    return ClassMap(index, confidence, best)


def join(bands: Sequence[ClassMap]) -> ClassMap:
    """One class map of a photo from those of its bands, top to bottom."""
    return ClassMap(
        np.concatenate([band.index for band in bands]),
        np.concatenate([band.confidence for band in bands]),
        np.max([band.best for band in bands], axis=0),
    )


def _blocks(found: Similarities, size: tuple[int, int]) -> Iterator[Block]:
    """Blocks of the photo: a row's scores fit into the cache, the similarities they come from into PART_BYTES."""
    of_column = 4 * found.words
    columns = max(1, SCORE_BYTES // (of_column * _ALIGNED)) * _ALIGNED
    rows = BLOCK_ROWS
    if found.projection is not None:
        height, width = found.maps.shape[1:]
        affordable = PART_BYTES / (of_column * min(width, columns * width / size[1] + 2)) - 2  # rows of the source
        rows = max(1, min(rows, int(affordable * size[0] / height)))
    for y in range(0, size[0], rows):
        for x in range(0, size[1], columns):
            yield slice(y, min(y + rows, size[0])), slice(x, min(x + columns, size[1]))


def _classify_block(
    resizing: _Resizing, class_starts: Sequence[int], index: NDArray[np.int32], confidence: Floats
) -> Floats:
    """Fills a block of both maps; gives each class's highest probability there."""
    words, classes = resizing.shape[0], len(class_starts)
    synonyms = [slice(*ends) for ends in pairwise((*class_starts, words))]
    # One number for each word: the largest of those of the most probable words gives the first class.
    codes = np.repeat(np.arange(classes, 0, -1), [part.stop - part.start for part in synonyms])[:, None]
    codes = codes.astype(np.min_scalar_type(classes))
    best = np.zeros(classes, np.float32)
    resized_row = resizing.reader()
    height, width = index.shape
    blocks = np.empty((max(1, SCORE_BYTES // (4 * math.prod(resizing.shape))), *resizing.shape), np.float32)
    for y in range(0, height, len(blocks)):
        scores = blocks[: height - y]  # (rows, Q, padded width)
        for row, target in enumerate(scores, y):
            resized_row(row, target)
        scores -= scores.max(axis=1, keepdims=True)
        winner = (scores == 0).view(np.uint8) * codes
        flat = scores.reshape(-1, scores.shape[2])
        cv2.exp(flat, flat)
        share = 1 / scores.sum(axis=1)  # (rows, padded width), the likeliest word's: its score is 1
        rows = slice(y, y + len(scores))
        index[rows] = classes - winner.max(axis=1)[:, :width]
        confidence[rows] = share[:, :width]
        if classes < words:
            scores = np.stack([scores[:, part].max(axis=1) for part in synonyms], axis=1)
        scores *= share[:, None]
        np.maximum(best, scores.max(axis=(0, 2)), out=best)
    return best


class _Resizing:
    """Scaled similarities of a block of the photo, row by row; the numbers are those of wordmask.resize.bilinear."""

    def __init__(self, found: Similarities, size: tuple[int, int], block: Block, logit_scale: float) -> None:
        height, width = found.maps.shape[1:]
        above, below, weight = source_positions(height, size[0], block[0])
        left, right, weights = source_positions(width, size[1], block[1])
        y, x = int(above[0]), int(left[0])
        self._logits = found.part(slice(y, int(below[-1]) + 1), slice(x, int(right[-1]) + 1))
        self._scale = np.float32(logit_scale)
        self._rows = list(zip((above - y).tolist(), (below - y).tolist(), weight.tolist(), strict=True))
        padding = (0, -len(left) % _ALIGNED)
        self._left, self._right = np.pad(left - x, padding, "edge"), np.pad(right - x, padding, "edge")
        right_weight = np.pad(weights, padding, "edge")
        self.shape = (found.words, len(right_weight))  # of a row: words, padded width
        self._right_weight = np.tile(right_weight, (found.words, 1))  # numpy is slow where it has to repeat
        self._left_weight = np.float32(1) - self._right_weight

    def reader(self) -> Callable[[int, Floats], None]:
        """A function for one thread that writes a row of the block, f32 (Q, padded width)."""
        other = np.empty(self.shape, np.float32)

        @lru_cache(maxsize=2)  # of the source rows above and below
        def wide(row: int) -> Floats:
            source = self._logits[:, row] * self._scale
            out: Floats = np.take(source, self._left, axis=1, mode="clip")  # mode="clip" skips the bounds check
            np.multiply(out, self._left_weight, out=out)
            np.take(source, self._right, axis=1, mode="clip", out=other)
            np.multiply(other, self._right_weight, out=other)
            np.add(out, other, out=out)
            return out

        def read(row: int, target: Floats) -> None:
            above, below, weight = self._rows[row]
            cv2.addWeighted(wide(above), 1 - weight, wide(below), weight, 0, dst=target)

        return read
