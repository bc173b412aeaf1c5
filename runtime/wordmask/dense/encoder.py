"""CLIP's image encoder, over windows."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Graph, Value


def encode_windows(graph: Graph, windows: NDArray[np.uint8], keep: Collection[str] = ()) -> Value:
    """CLIP's dense features of windows: u8 (N, S, S, 3) -> f32 (N, D, S/patch, S/patch).

    Args:
        graph: the bundle's `clip_image`.
        windows: of one or several photos.
        keep: `features` leaves them on the graph's device.
    """
    return graph.run({"image": windows}, keep)["features"]
