"""Turns an fp32 graph into fp16: half-precision weights and arithmetic, fp32 islands where half would be wrong.

Inputs and outputs keep their types. The islands:
- statistics (LayerNorm, means, sums, powers, roots) and softmax: sums over hundreds of values;
- what a sine or cosine is taken of: its argument wants more digits than half precision has;
- bytes until they are normalised;
- elementwise steps all of whose results go into an island.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

STATISTICS = {
    *("LayerNormalization", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Reciprocal"),
    *("Softmax", "Sigmoid", "Sin", "Cos", "Range", "ConstantOfShape"),
}
ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Clip", "Cast"}
NORMALISING = ELEMENTWISE | {"Transpose"}
SINGLE_INPUTS = {"Resize": (1, 2)}  # inputs that ONNX wants in fp32 whatever the data is
LARGEST = float(np.finfo(np.float16).max)


def convert(path: Path) -> None:
    """Rewrites the graph at a path in fp16."""
    model = onnx.load(path)
    half = to_half(model)
    onnx.checker.check_model(half)
    onnx.save(half, path)


def to_half(model: ModelProto) -> ModelProto:
    """An fp16 copy of an fp32 graph with the same interface."""
    assert not model.functions
    single = islands(model)
    floats = float_values(model)
    result = ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    writer = _Writer(result, floats, {tensor.name for tensor in model.graph.initializer})
    for index, node in enumerate(model.graph.node):
        writer.add(node, TensorProto.FLOAT if index in single else TensorProto.FLOAT16)
    writer.finish()
    return result


def float_values(model: ModelProto) -> set[str]:
    """Names of all fp32 tensors of a graph."""
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    typed = [*graph.value_info, *graph.input, *graph.output]
    names = {value.name for value in typed if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return names | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def islands(model: ModelProto) -> set[int]:
    """Indices of the nodes that stay in fp32; see the module's docstring."""
    nodes = model.graph.node
    producer = {name: index for index, node in enumerate(nodes) for name in node.output}
    consumers: dict[str, set[int]] = defaultdict(set)
    for index, node in enumerate(nodes):
        for name in node.input:
            consumers[name].add(index)
    single = {index for index, node in enumerate(nodes) if node.op_type in STATISTICS}
    angles = [index for index in single if nodes[index].op_type in ("Sin", "Cos")]
    single |= _ancestors(nodes, producer, angles)
    single |= _normalising(model)
    results = {value.name for value in model.graph.output}
    for index in range(len(nodes) - 1, -1, -1):  # backwards: a chain into an island joins it
        node = nodes[index]
        after = {consumer for name in node.output for consumer in consumers[name]}
        if node.op_type in ELEMENTWISE and after and after <= single and not results & set(node.output):
            single.add(index)
    return single


def _ancestors(nodes: Iterable[NodeProto], producer: dict[str, int], start: list[int]) -> set[int]:
    nodes, seen, todo = list(nodes), set[int](), list(start)
    while todo:
        for name in nodes[todo.pop()].input:
            before = producer.get(name)
            if before is not None and before not in seen:
                seen.add(before)
                todo.append(before)
    return seen


def _normalising(model: ModelProto) -> set[int]:
    """Nodes between an input of bytes and the first that is more than normalisation."""
    bytes_ = {value.name for value in model.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    constants = {tensor.name for tensor in model.graph.initializer}
    found = set()
    for index, node in enumerate(model.graph.node):
        variable = [name for name in node.input if name not in constants]
        if node.op_type in NORMALISING and variable and all(name in bytes_ for name in variable):
            found.add(index)
            bytes_.update(node.output)
    return found


class _Writer:
    """Copies nodes into a graph, each in its precision, with casts where precisions meet."""

    def __init__(self, model: ModelProto, floats: set[str], constants: set[str]) -> None:
        self.graph = model.graph
        self.floats = floats
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name in constants}
        self.outputs = {value.name for value in model.graph.output}
        self.kept: dict[str, TensorProto] = {}
        self.precision = dict.fromkeys(floats, TensorProto.FLOAT)
        self.casts: dict[tuple[str, int], str] = {}

    def add(self, node: NodeProto, precision: int) -> None:
        """Adds a node that computes in the given precision."""
        copy = NodeProto()
        copy.CopyFrom(node)
        fixed = SINGLE_INPUTS.get(node.op_type, ())
        for position, name in enumerate(node.input):
            wanted = TensorProto.FLOAT if position in fixed else precision
            copy.input[position] = self._read(name, wanted)
        for attribute in copy.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = precision
        self.graph.node.append(copy)
        copy = self.graph.node[-1]
        for position, name in enumerate(node.output):
            if name in self.floats and precision == TensorProto.FLOAT16:
                self._lower(copy, position, name)

    def _lower(self, node: NodeProto, position: int, name: str) -> None:
        """Notes that an output is half; one of the graph's own outputs is cast back."""
        if name not in self.outputs:
            self.precision[name] = TensorProto.FLOAT16
            return
        inner = node.output[position] = f"{name}_half"
        self.precision[inner] = TensorProto.FLOAT16
        self.casts[name, TensorProto.FLOAT16] = inner
        self._cast(inner, TensorProto.FLOAT, name)

    def _read(self, name: str, precision: int) -> str:
        """The name under which a value can be read in a precision."""
        if name in self.constants:
            return self._constant(name, precision)
        if name not in self.floats or self.precision[name] == precision:
            return name
        if (name, precision) not in self.casts:
            self.casts[name, precision] = self._cast(name, precision, f"{name}_as_{precision}")
        return self.casts[name, precision]

    def _cast(self, name: str, precision: int, result: str) -> str:
        self.graph.node.append(helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=precision))
        return result

    def _constant(self, name: str, precision: int) -> str:
        tensor = self.constants[name]
        if tensor.data_type != TensorProto.FLOAT or precision == TensorProto.FLOAT:
            self.kept[name] = tensor
            return name
        lowered = f"{name}_half"
        if lowered not in self.kept:
            values = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST)
            self.kept[lowered] = numpy_helper.from_array(values.astype(np.float16), lowered)
        return lowered

    def finish(self) -> None:
        """Keeps the constants that are read."""
        kept = list(self.kept.values())
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
