"""The drawings of things and the photos behind them; data/LICENCES.md says where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask_bench.things.words import vocabulary

DATA = Path(__file__).parent / "data"
HELD_OUT_PHOTOS = frozenset(
    {
        *("beachpier", "citynight", "colosseum", "gravel", "greatwall", "igloo"),
        *("kitchenpan", "lakecliff", "modernbuilding", "pancakes", "picosdeeuropa", "saltwindmill"),
        *("spiralstairs", "suspensionbridge", "teagardens", "wine", "woodtable"),
    }
)


@dataclass(frozen=True, eq=False)
class Drawing:
    """One drawing of a thing.

    Attributes:
        name: of its file.
        word: what it shows.
        pixels: f32 (h, w, 4), RGB multiplied by alpha, and alpha; 0 to 255; the longer side has 128 pixels.
    """

    name: str
    word: str
    pixels: NDArray[np.float32]


@cache
def drawings(*, held_out: bool) -> tuple[Drawing, ...]:
    """The drawings that no training sees, or the others, in the order of vocabulary() and of their names."""
    folder = DATA / "drawings" / ("held_out" if held_out else "trained")
    return tuple(
        Drawing(path.stem, word, _read(path)) for word in vocabulary() for path in sorted(folder.glob(f"{word}_*.png"))
    )


def _read(path: Path) -> NDArray[np.float32]:
    pixels = cv2.cvtColor(_decoded(path, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA).astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] * np.float32(1 / 255)
    return pixels


@cache
def photos(*, held_out: bool) -> tuple[NDArray[np.uint8], ...]:
    """The photos u8 (H, W, 3), RGB, by name: those that no training sees, or the others."""
    paths = sorted((DATA / "photos").glob("*.jpg"))
    kept = [path for path in paths if (path.stem in HELD_OUT_PHOTOS) == held_out]
    return tuple(np.ascontiguousarray(_decoded(path, cv2.IMREAD_COLOR)[..., ::-1]) for path in kept)


def _decoded(path: Path, mode: int) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), mode)
    if pixels is None:
        raise ValueError(f"{path} is not an image")
    return np.asarray(pixels, np.uint8)
