"""Two graphs of SAM2's half that run on its GPU: the photo to SAM2's square, and the chosen ones of all masks.

With them a photo goes to the GPU once, in bytes, and of a prompt's four masks one comes back. They have no weights and
serve every bundle; wordmask_export.graphs.sam2_device makes the files beside this module.
"""

from __future__ import annotations

import numpy as np

from wordmask.arrays import Photo
from wordmask.backends import Graph, Values
from wordmask.backends.device import Device
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.resize import antialiased_taps
from wordmask.system.package_data import data_path

SQUARE = data_path("wordmask.objects", "data/sam2_square.onnx")
PICK = data_path("wordmask.objects", "data/pick_masks.onnx")
# A photo of H by W; a row of the square of side S is a mean of A rows of the photo, a column of E columns.
SQUARE_INPUTS = (
    Tensor("photo", "uint8", ("H", "W", 3)),
    Tensor("rows", "int32", ("S", "A")),
    Tensor("row_weights", "float32", ("S", "A")),
    Tensor("columns", "int32", ("S", "E")),
    Tensor("column_weights", "float32", ("S", "E")),
)
SQUARE_OUTPUTS = (Tensor("square", "float32", (1, "S", "S", 3)),)
# The four masks of N prompts, as N * 4 masks, and which of these to take
PICK_INPUTS = (Tensor("masks", "float32", ("N", 4, "m", "m")), Tensor("choice", "int32", ("N",)))
PICK_OUTPUTS = (Tensor("picked", "float32", ("N", "m", "m")),)
MAX_BYTES = 512 << 20  # of the largest array within the square's graph: larger photos are resized on the host


def load_square(device: Device) -> Graph:
    """The graph that makes SAM2's square; raises DeviceError if the device cannot be used."""
    return OrtGraph(SQUARE, GraphEntry(SQUARE.name, "", 0, SQUARE_INPUTS, SQUARE_OUTPUTS), device=str(device))


def load_pick(device: Device) -> Graph:
    """The graph that takes one mask of each prompt; raises DeviceError if the device cannot be used."""
    return OrtGraph(PICK, GraphEntry(PICK.name, "", 0, PICK_INPUTS, PICK_OUTPUTS), device=str(device))


def square_inputs(photo: Photo, side: int) -> Values | None:
    """The inputs of the square's graph for a photo u8 (H, W, 3); None where it would take more than MAX_BYTES."""
    height, width = photo.shape[:2]
    rows, row_weights = antialiased_taps(height, side)
    columns, column_weights = antialiased_taps(width, side)
    if np.dtype(np.float32).itemsize * rows.size * width * 3 > MAX_BYTES:
        return None
    return {
        "photo": photo,
        "rows": rows,
        "row_weights": row_weights,
        "columns": columns,
        "column_weights": column_weights,
    }
