"""The class map's graph: `python -m wordmask_export.graphs.class_map` writes the file that the runtime ships.

It computes the photo's class map from the windows' logits on the device that holds them. It has no weights, so one
graph serves every bundle. wordmask.dense.device_classmap computes its tables: positions of the gathered pixels and
their weights. Order of operations and ties are as in wordmask.dense.stitching and wordmask.dense.classmap: if several
words have the largest logit, the first class is taken.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from wordmask.dense import device_classmap
from wordmask_export.graphs.nodes import Nodes, model_of

NO_CLASS = 255.0  # larger than any class's index


def build() -> ModelProto:
    """The graph. Its output `checksum`, the sum of all logits, is finite if all logits are."""
    nodes = Nodes("n")
    nodes.add("Reshape", nodes.add("ReduceSum", "logits"), nodes.constant([1]), output="checksum")
    scores = _scores(nodes)
    words = nodes.constant([0])
    most = nodes.add("ReduceMax", scores, words, keepdims=1)
    below_most = nodes.add("Sub", scores, most)  # (C, Y, X), 0 at the most probable words
    classes = nodes.add("Unsqueeze", "class_of_word", nodes.constant([1, 2]))  # (C, 1, 1)
    first = nodes.add("Equal", below_most, nodes.constant(0.0))
    candidates = nodes.add("Where", first, classes, nodes.constant(NO_CLASS))
    index = nodes.add("ReduceMin", candidates, words, keepdims=0)
    nodes.add("Cast", index, output="index", to=TensorProto.UINT8)
    odds = nodes.add("Exp", below_most)
    share = nodes.add("Reciprocal", nodes.add("ReduceSum", odds, words, keepdims=1))  # (1, Y, X)
    nodes.add("Squeeze", share, words, output="confidence")
    probabilities = nodes.add("Mul", odds, share)
    nodes.add("ReduceMax", probabilities, nodes.constant([1, 2]), output="best", keepdims=0)
    return model_of("class_map", nodes, device_classmap.INPUTS, device_classmap.OUTPUTS)


def _scores(nodes: Nodes) -> str:
    """Scaled logits f32 (C, Y, X) of a band of the photo."""
    windows = nodes.add("Gather", "logits", "layout", axis=0)  # (R, K, C, S, S)
    by_row = nodes.add("Transpose", windows, perm=[2, 1, 4, 0, 3])  # (C, K, S across, R, S down)
    laid = nodes.add("Reshape", by_row, nodes.constant([0, 0, 0, -1]))  # (C, K, S, R*S)
    down = _averaged(nodes, laid, "rows", "row_weights", axis=3)  # (C, K, S, y)
    by_column = nodes.add("Transpose", down, perm=[0, 3, 1, 2])  # (C, y, K, S)
    laid = nodes.add("Reshape", by_column, nodes.constant([0, 0, -1]))  # (C, y, K*S)
    stitched = _averaged(nodes, laid, "columns", "column_weights", axis=2)  # (C, y, x)
    scaled = nodes.add("Mul", stitched, "scale")
    wide = _interpolated(nodes, scaled, ("left", "right"), "right_weight", axis=2)  # (C, y, X)
    weight = nodes.add("Unsqueeze", "below_weight", nodes.constant([1]))  # (Y, 1)
    return _interpolated(nodes, wide, ("above", "below"), weight, axis=1)  # (C, Y, X)


def _averaged(nodes: Nodes, laid: str, positions: str, weights: str, *, axis: int) -> str:
    """The weighted sum of the windows' pixels at the positions (A, n) of an axis; the axis gets the length n."""
    picked = nodes.add("Gather", laid, positions, axis=axis)
    # (A, n) are the last two axes, whichever axis was gathered
    return nodes.add("ReduceSum", nodes.add("Mul", picked, weights), nodes.constant([axis]), keepdims=0)


def _interpolated(nodes: Nodes, maps: str, ends: tuple[str, str], weight: str, *, axis: int) -> str:
    """Linear interpolation between the pixels at two positions of an axis; `weight` is that of the second."""
    first, second = (nodes.add("Gather", maps, end, axis=axis) for end in ends)
    rest = nodes.add("Sub", nodes.constant(1.0), weight)
    return nodes.add("Add", nodes.add("Mul", first, rest), nodes.add("Mul", second, weight))


if __name__ == "__main__":
    onnx.save(build(), Path(device_classmap.FILE))
