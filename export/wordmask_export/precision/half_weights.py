"""Half-precision weights under fp32 arithmetic: half the size, nothing lost but the rounding of the weights.

The models' weights are rounded before anything is traced, so what is compared with the graphs is the rounded model. In
the graph a constant is then kept in half precision where that loses nothing, followed by a cast, which ONNX Runtime
folds when it loads the graph. Constants that were computed from weights, as a folded normalisation, stay as they are.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

LEAST_SIZE = 1024  # elements: a cast costs more than it saves below


def round_weights(module: nn.Module) -> None:
    """Rounds all parameters and buffers to what half precision can hold, in place.

    Raises:
        ValueError: one is too large for half precision.
    """
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            rounded = value.to(torch.float16)
            if not bool(rounded.isfinite().all()):
                raise ValueError(f"{name} goes up to {float(value.abs().max()):g}: too large for half precision")
            value.copy_(rounded)


def shrink(path: Path) -> None:
    """Rewrites a graph's constants that half precision holds exactly as such, with a cast to fp32."""
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
