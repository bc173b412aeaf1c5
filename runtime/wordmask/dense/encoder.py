"""The two image encoders: CLIP over windows, SAM2 over the whole photo."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Graph, Value
from wordmask.types import EncodedPhoto

MAPS = ("image_embed", "high_res_0", "high_res_1")


def encode_windows(graph: Graph, windows: NDArray[np.uint8], keep: Collection[str] = ()) -> Value:
    """CLIP's dense features of windows: u8 (N, S, S, 3) -> f32 (N, D, S/patch, S/patch).

    Args:
        graph: the bundle's `clip_image`.
        windows: of one or several photos.
        keep: `features` leaves them on the graph's device.
    """
    return graph.run({"image": windows}, keep)["features"]


def encode_photo(graph: Graph, square: NDArray[np.uint8], size: tuple[int, int]) -> EncodedPhoto:
    """SAM2's encoding of a photo of height and width `size`, given as SAM2's square u8 (S, S, 3).

    It stays on the graph's device.
    """
    return EncodedPhoto(graph.run({"image": square[None]}, MAPS), size)
