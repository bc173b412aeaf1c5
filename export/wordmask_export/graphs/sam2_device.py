"""The graphs before and after SAM2 on a GPU; `python -m wordmask_export.graphs.sam2_device` writes the runtime's files.

They have no weights, so one file of each serves every bundle; see wordmask.objects.device_graphs.
"""

from __future__ import annotations

import onnx
from onnx import ModelProto, TensorProto

from wordmask.objects import device_graphs
from wordmask_export.graphs.nodes import Nodes, model_of


def build_square() -> ModelProto:
    """Resizes a photo to SAM2's square, antialiased: weighted means of rows, then of columns."""
    nodes = Nodes("n")
    rows = nodes.add("Cast", nodes.add("Gather", "photo", "rows", axis=0), to=TensorProto.FLOAT)  # (S, A, W, 3)
    down = _weighted(nodes, rows, "row_weights", [2, 3], axis=1)  # (S, W, 3)
    columns = nodes.add("Gather", down, "columns", axis=1)  # (S, S, E, 3)
    square = _weighted(nodes, columns, "column_weights", [0, 3], axis=2)  # (S, S, 3)
    nodes.add("Unsqueeze", square, nodes.constant([0]), output="square")
    return model_of("sam2_square", nodes, device_graphs.SQUARE_INPUTS, device_graphs.SQUARE_OUTPUTS)


def _weighted(nodes: Nodes, taps: str, weights: str, missing: list[int], *, axis: int) -> str:
    """The weighted sum of the taps along an axis; the weights lack the axes `missing`."""
    aligned = nodes.add("Unsqueeze", weights, nodes.constant(missing))
    return nodes.add("ReduceSum", nodes.add("Mul", taps, aligned), nodes.constant([axis]), keepdims=0)


def build_pick() -> ModelProto:
    """Selects one mask per prompt, by its index among the masks of all prompts."""
    nodes = Nodes("n")
    side = nodes.add("Shape", "masks", start=2)
    flat = nodes.add("Reshape", "masks", nodes.add("Concat", nodes.constant([-1]), side, axis=0))
    nodes.add("Gather", flat, "choice", output="picked", axis=0)
    return model_of("pick_masks", nodes, device_graphs.PICK_INPUTS, device_graphs.PICK_OUTPUTS)


if __name__ == "__main__":
    onnx.save(build_square(), device_graphs.SQUARE)
    onnx.save(build_pick(), device_graphs.PICK)
