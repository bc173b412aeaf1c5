"""Reads a model's parameters from an exported graph, also those that the export left without a name.

An unnamed weight is found by its use: it is a constant factor of the product that a named bias is added to. So the
numbers that an exporter gives to values do not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import NodeProto, numpy_helper
from torch import Tensor

VIEWS = ("Reshape", "Transpose")  # what stands between a product and its bias


class GraphWeights:
    """A graph's constants by name; unnamed weights of linear layers have the name that goes with their bias.

    Attributes:
        values: half-precision constants are widened to f32.
    """

    def __init__(self, path: Path) -> None:
        graph = onnx.load(path).graph
        self.values = {value.name: torch.tensor(numpy_helper.to_array(value)) for value in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._users: dict[str, list[NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self._users[name].append(node)
            self._fold(node)
        for bias in [name for name in self.values if name.endswith("bias")]:
            weight = bias.removesuffix("bias") + "weight"
            factor = None if weight in self.values else next(self._factors_before(bias), None)
            if factor is not None:
                self.values[weight] = _matrix(factor, len(self.values[bias]))

    def _fold(self, node: NodeProto) -> None:
        """Half-precision constants are cast by the graph, and some are reshaped by it."""
        value = self.values.get(node.input[0]) if node.input else None
        if node.op_type == "Cast" and value is not None:
            self.values[node.output[0]] = self.values.pop(node.input[0]).float()
        elif node.op_type == "Reshape" and value is not None and node.input[1] in self.values:
            self.values[node.output[0]] = value.reshape(self.values[node.input[1]].tolist())

    def _factors_before(self, added: str) -> Iterator[Tensor]:
        """Constant factors of the product that a value is added to, or that a sum with the value is added to."""
        for node in self._users[added]:
            if node.op_type == "Add":
                for other in set(node.input) - {added}:
                    yield from self._factors_of(other)
                yield from self._factors_before(node.output[0])

    def _factors_of(self, product: str) -> Iterator[Tensor]:
        node = self._makers.get(product)
        if node is None or node.op_type not in ("MatMul", *VIEWS):
            return
        if node.op_type == "MatMul" and node.input[1] in self.values:
            yield self.values[node.input[1]]
        else:
            yield from self._factors_of(node.input[node.op_type == "MatMul"])

    def after(self, bias: str, operator: str) -> Tensor:
        """The folded constant (heads, ...) that multiplies the output of a linear layer.

        Args:
            bias: of the linear layer.
            operator: MatMul or Mul.

        Raises:
            KeyError: no such constant follows the bias.
        """
        for found in self._factors_after(bias, operator):
            return found
        raise KeyError(f"no constant of three dimensions follows {bias} by {operator}")

    def _factors_after(self, value: str, operator: str) -> Iterator[Tensor]:
        for node in self._users[value]:
            factor = self.values.get(node.input[-1])
            if node.op_type == operator and factor is not None and factor.ndim == 3:
                yield factor
            elif node.op_type in ("Add", "Mul", *VIEWS):
                yield from self._factors_after(node.output[0], operator)

    def beside(self, value: str) -> Tensor:
        """The one constant that an input of the graph is used with, or that an output is made with."""
        nodes = [*self._users[value], *filter(None, [self._makers.get(value)])]
        (found,) = (self.values[name] for node in nodes for name in node.input if name in self.values)
        return found


def _matrix(factor: Tensor, outputs: int) -> Tensor:
    """The weight (out, in) of a product by (in, out), or by (heads, in, out) where either is split over the heads."""
    if factor.ndim == 3 and factor.shape[2] == outputs:
        factor = factor.flatten(0, 1)  # (heads * in, out)
    elif factor.ndim == 3:
        factor = factor.permute(1, 0, 2).flatten(1)  # (in, heads * out)
    return factor.T
