"""How far the results of two sides agree; every speed is reported together with this."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Answers:
    """A side's results for one photo: class map u16 (H, W) and one mask per prompt, packed u8 (N, H, ceil(W / 8))."""

    dense: NDArray[np.uint16]
    masks: NDArray[np.uint8]


def read_answers(path: Path) -> Answers:
    """Reads the file that speed.side_worker writes."""
    with np.load(path, allow_pickle=False) as stored:
        return Answers(stored["dense"], stored["masks"])


def equal_pixels(one: Answers, other: Answers) -> float:
    """Share of the pixels that have the same class."""
    return float((one.dense == other.dense).mean())


def mask_ious(one: Answers, other: Answers) -> NDArray[np.float64]:
    """IoU of the two masks of each prompt (N,); 1 if both are empty."""
    pairs = list(zip(one.masks, other.masks, strict=True))
    both, either = (np.array([_bits(of(a, b)) for a, b in pairs]) for of in (np.bitwise_and, np.bitwise_or))
    ious: NDArray[np.float64] = np.where(either == 0, 1.0, both / np.maximum(either, 1))
    return ious


def _bits(packed: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(np.unpackbits(packed)))
