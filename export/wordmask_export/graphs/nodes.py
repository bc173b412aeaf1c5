"""Writes ONNX graphs node by node, for graphs that are not traced from a PyTorch module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from wordmask.bundle.manifest import Tensor
from wordmask_export.graphs.onnx_export import OPSET

IR_VERSION = 10


class Nodes:
    """A list of nodes, each with one new output."""

    def __init__(self, prefix: str) -> None:
        """Args: prefix of the names of outputs that are not named."""
        self.nodes: list[NodeProto] = []
        self._names = (f"{prefix}{number}" for number in count())

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """Appends a node; returns the name of its output."""
        name = output or next(self._names)
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def constant(self, value: float | Sequence[int]) -> str:
        """Appends a constant: a number, or a list of indices."""
        array = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        return self.add("Constant", value=numpy_helper.from_array(array))

    def total(self, parts: Iterator[str]) -> str:
        """Adds parts up as they are made, so that not all of them are in memory at once."""
        found = next(parts)
        for part in parts:
            found = self.add("Add", found, part)
        return found


def value_of(tensor: Tensor) -> onnx.ValueInfoProto:
    """ONNX's description of an input or output."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype))
    return helper.make_tensor_value_info(tensor.name, kind, tensor.shape)


def model_of(name: str, nodes: Nodes, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> ModelProto:
    """A checked model of one graph.

    Raises:
        onnx.checker.ValidationError: the graph is not valid.
    """
    graph = helper.make_graph(nodes.nodes, name, list(map(value_of, inputs)), list(map(value_of, outputs)))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model
