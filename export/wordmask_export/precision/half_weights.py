"""Half-precision weights with fp32 arithmetic: half the size; only the rounding of the weights changes results.

The models' weights are rounded before the export, so the graphs are compared with the rounded models. In a graph,
constants that half precision holds exactly are stored in it, followed by a cast, which ONNX Runtime folds when it loads
the graph. Constants that were computed from weights, such as a folded normalisation, stay in fp32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

LEAST_SIZE = 1024  # elements: for smaller constants a cast costs more than it saves


def round_weights(module: nn.Module) -> None:
    """Rounds all parameters and buffers to half precision, in place.

    Raises:
        ValueError: a value is too large for half precision.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            rounded = value.to(torch.float16)
            if not bool(rounded.isfinite().all()):
                raise ValueError(f"{name} goes up to {float(value.abs().max()):g}: too large for half precision")
            value.copy_(rounded)


def shrink(path: Path) -> None:
    """Stores the constants that half precision holds exactly in half precision, each with a cast to fp32."""
    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < LEAST_SIZE:
            continue
        with np.errstate(over="ignore"):
            lowered = values.astype(np.float16)
        if not np.array_equal(lowered, values):
            continue
        name = tensor.name
        stored = f"{name}_half"
        tensor.CopyFrom(numpy_helper.from_array(lowered, stored))
        casts.append(helper.make_node("Cast", [stored], [name], name=f"widen_{name}", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, path)
