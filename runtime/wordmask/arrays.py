"""Names for the kinds of arrays that most modules pass on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BoolMask = NDArray[np.bool_]
Floats = NDArray[np.float32]
Photo = NDArray[np.uint8]  # RGB, (H, W, 3)
