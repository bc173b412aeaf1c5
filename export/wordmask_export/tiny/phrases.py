"""Phrases that keep the text tower's embeddings additive: the part of a colour plus the part of a pattern."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor

from wordmask_bench.scenes import BACKGROUNDS, COLOURS, HELD_OUT, PATTERNS
from wordmask_export.tiny.data import PATTERN_WORDS, TRAINED
from wordmask_export.tiny.towers import TRAINED_PAIRS


def squares() -> Tensor:
    """Indices (Q, 4) into TRAINED: all pairs of colours and pairs of patterns whose four combinations are trained."""
    place = {word: i for i, word in enumerate(TRAINED)}
    many = len(PATTERNS)
    rows = []
    for a, b in itertools.combinations(range(0, PATTERN_WORDS, many), 2):
        for p, q in itertools.combinations(range(many), 2):
            corners = (a + p, a + q, b + p, b + q)
            if all(corner in place for corner in corners):
                rows.append([place[corner] for corner in corners])
    return torch.tensor(rows)


def parts() -> Tensor:
    """Matrix (colours + patterns, trained pairs) from pairs' embeddings to their additive parts, by least squares."""
    many = len(PATTERNS)
    design = torch.zeros(TRAINED_PAIRS, len(COLOURS) + many)
    for row, word in enumerate(TRAINED[:TRAINED_PAIRS]):
        design[row, [word // many, len(COLOURS) + word % many]] = 1
    return torch.linalg.pinv(design)


def mixed_squares(rng: np.random.Generator, count: int) -> list[str]:
    """Phrases of two words in groups of four (a p, a q, b p, b q): any words, but no held-out pair."""
    phrases: list[str] = []
    while len(phrases) < 4 * count:
        firsts = rng.choice(COLOURS + BACKGROUNDS, 2, replace=False)
        seconds = rng.choice(PATTERNS + BACKGROUNDS, 2, replace=False)
        corners = [f"{first} {second}" for first in firsts for second in seconds]
        if HELD_OUT.isdisjoint(corners):
            phrases += corners
    return phrases
