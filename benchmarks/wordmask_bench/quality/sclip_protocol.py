"""From similarities to a class map as SCLIP does it (clip_segmentor.py, postprocess_result), with bounded memory.

The runtime's class map has no thresholds. Here the steps are SCLIP's: resize to the photo, scale, softmax over all
words, take the most probable synonym of each class, drop classes of small area, take the most probable class, set
improbable pixels to class 0. The photo is computed in strips, because all of its probabilities may take gigabytes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import BoolMask, Floats
from wordmask.resize import bilinear
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import Vocabulary
from wordmask_bench.datasets.protocol import Protocol, Synonyms

STRIP_BYTES = 1 << 25  # of the probabilities of one strip


@dataclass(frozen=True, eq=False)
class Prediction:
    """A photo's classes.

    Attributes:
        index: i32 (H, W), in the order of the dataset's labels.
        confidence: f32 (H, W), the probability of the most probable class, before improbable pixels are set to class 0.
        best: f32 (classes,), each class's highest probability at any pixel.
    """

    index: NDArray[np.int32]
    confidence: Floats
    best: Floats


def vocabulary(classes: Sequence[Synonyms], protocol: Protocol) -> Vocabulary:
    """The dataset's words, with the background last; words that background and classes share are kept in both."""
    if protocol.background:
        return Vocabulary(tuple(classes[1:]), classes[0])
    return Vocabulary(tuple(classes))


def predict(
    similarities: Floats, queries: Queries, size: tuple[int, int], protocol: Protocol, logit_scale: float
) -> Prediction:
    """The classes of a photo's pixels.

    Args:
        similarities: f32 (Q, h, w), of the resized photo.
        queries: of `vocabulary`.
        size: height and width of the photo.
        protocol: its thresholds.
        logit_scale: multiplies the similarities; used instead of the protocol's, which may be None.
    """
    strips = functools.partial(_strips, similarities, queries, size, protocol, logit_scale)
    count = len(queries.class_starts)
    index, confidence = np.empty(size, np.int32), np.empty(size, np.float32)
    best = np.zeros(count, np.float32)
    for rows, probabilities in strips():
        index[rows], confidence[rows] = probabilities.argmax(axis=0), probabilities.max(axis=0)
        np.maximum(best, probabilities.max(axis=(1, 2)), out=best)
    if protocol.min_area is not None:
        area = np.bincount(index.ravel(), minlength=count)
        dropped = too_small(area, protocol.min_area)
        if (area[dropped] > 0).any():  # otherwise no pixel changes
            for rows, probabilities in strips():
                probabilities[dropped] = 0
                index[rows], confidence[rows] = probabilities.argmax(axis=0), probabilities.max(axis=0)
    index[confidence < np.float32(protocol.min_probability)] = 0
    return Prediction(index, confidence, best)


def too_small(area: NDArray[np.int64], least: float) -> BoolMask:
    """Classes whose share of the foreground is not above a minimum: bool (classes,), never class 0.

    Args:
        area: pixels of each class; class 0 is the background.
        least: the share, 0 to 1.
    """
    foreground = area[1:].astype(np.float32)
    dropped = np.zeros(len(area), np.bool_)
    dropped[1:] = ~(foreground > np.float32(least) * foreground.sum())
    return dropped


def _strips(
    similarities: Floats, queries: Queries, size: tuple[int, int], protocol: Protocol, logit_scale: float
) -> Iterator[tuple[slice, Floats]]:
    """Rows of each strip of the photo, and its probabilities f32 (classes, rows, W)."""
    height = max(1, STRIP_BYTES // (4 * len(similarities) * size[1]))
    for start in range(0, size[0], height):
        rows = slice(start, start + height)
        scores = bilinear(similarities, size, rows) * np.float32(logit_scale)
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=0)
        classes = np.maximum.reduceat(scores, list(queries.class_starts), axis=0)
        yield rows, np.roll(classes, int(protocol.background), axis=0)  # the background comes first
