"""The two image encoders: CLIP over windows, SAM2 over the whole photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Graph
from wordmask.preprocess import Photo, resize_for_sam2
from wordmask.types import Floats


@dataclass(frozen=True, eq=False)
class EncodedPhoto:
    """What SAM2's decoder needs of one photo; f32, batch 1.

    Attributes:
        maps: image_embed, high_res_0 and high_res_1 by name.
        size: height and width of the photo itself.
    """

    maps: dict[str, Floats]
    size: tuple[int, int]


def encode_windows(graph: Graph, windows: NDArray[np.uint8]) -> Floats:
    """CLIP's dense features of windows: u8 (N, S, S, 3) -> f32 (N, D, S/patch, S/patch)."""
    return graph.run({"image": windows})["features"]


def encode_photo(graph: Graph, photo: Photo, image_size: int) -> EncodedPhoto:
    """SAM2's encoding of a photo u8 (H, W, 3)."""
    height, width = photo.shape[:2]
    square = resize_for_sam2(photo, image_size)
    return EncodedPhoto(graph.run({"image": square[None]}), (height, width))
