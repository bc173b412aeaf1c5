"""The two image encoders: CLIP over windows, SAM2 over the whole photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Graph
from wordmask.types import EncodedPhoto, Floats


def encode_windows(graph: Graph, windows: NDArray[np.uint8]) -> Floats:
    """CLIP's dense features of windows: u8 (N, S, S, 3) -> f32 (N, D, S/patch, S/patch)."""
    return graph.run({"image": windows})["features"]


def encode_photo(graph: Graph, square: NDArray[np.uint8], size: tuple[int, int]) -> EncodedPhoto:
    """SAM2's encoding of a photo of height and width `size`, given as SAM2's square u8 (S, S, 3)."""
    return EncodedPhoto(graph.run({"image": square[None]}), size)
