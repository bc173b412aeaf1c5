"""Half-precision arithmetic on a CPU: the graph in fp32, every result of a half node rounded.

ONNX Runtime's CPU runs most fp16 nodes in fp32 without rounding between them, and no bf16 nodes at all, so it cannot
tell what a graph loses. Here a LayerNorm or softmax in half is rounded at each of its steps, as the worst a compiler
may do; sums accumulate in fp32, as tensor cores' do.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from wordmask_export.precision.retype import value_types

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
MOVING = {  # these round nothing
    *("Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Concat", "Gather", "GatherElements", "GatherND"),
    *("Expand", "Pad", "MaxPool", "Relu", "Where", "DepthToSpace"),
}


def emulate(model: ModelProto) -> ModelProto:
    """A graph of fp32 kernels that computes what a strongly typed graph does."""
    result = ModelProto()
    result.CopyFrom(model)
    writer = _Emulator(value_types(model))
    for node in model.graph.node:
        writer.add(node)
    del result.graph.node[:], result.graph.initializer[:], result.graph.value_info[:]
    result.graph.node.extend(writer.nodes)
    result.graph.initializer.extend([*map(widen, model.graph.initializer), *writer.constants])
    return result


def widen(tensor: TensorProto) -> TensorProto:
    """A constant in half precision as fp32."""
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, "<u2").astype(np.uint32) << 16
        return numpy_helper.from_array(bits.view(np.float32).reshape(tuple(tensor.dims)), tensor.name)
    if tensor.data_type == TensorProto.FLOAT16:
        return numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name)
    return tensor


class _Emulator:
    def __init__(self, types: dict[str, int]) -> None:
        self.types = types
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, node: NodeProto) -> None:
        name = node.output[0]
        half = self.types[name]
        if node.op_type == "Cast" and half in HALVES:
            self._round(node.input[0], name, half)
        elif half not in HALVES or node.op_type in MOVING:
            self.nodes.append(node)
        elif node.op_type == "LayerNormalization":
            self._layer_norm(node, half)
        elif node.op_type == "Softmax":
            self._softmax(node, half)
        else:
            raw = NodeProto()
            raw.CopyFrom(node)
            raw.output[0] = f"{name}.raw"
            self.nodes.append(raw)
            self._round(f"{name}.raw", name, half)

    def _round(self, raw: str, name: str, half: int) -> None:
        self.nodes.append(helper.make_node("Cast", [raw], [f"{name}.half"], to=half))
        self.nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))

    def _step(self, operator: str, inputs: list[str], half: int, name: str = "", **attributes: int) -> str:
        name = name or f"step.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [f"{name}.raw"], **attributes))
        self._round(f"{name}.raw", name, half)
        return name

    def _constant(self, value: object, kind: type) -> str:
        name = f"constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def _layer_norm(self, node: NodeProto, half: int) -> None:
        x, scale, bias = node.input
        last = self._constant([-1], np.int64)
        epsilon = self._constant(helper.get_node_attr_value(node, "epsilon"), np.float32)
        centred = self._step("Sub", [x, self._step("ReduceMean", [x, last], half, keepdims=1)], half)
        squares = self._step("Mul", [centred, centred], half)
        variance = self._step("Add", [self._step("ReduceMean", [squares, last], half, keepdims=1), epsilon], half)
        unit = self._step("Div", [centred, self._step("Sqrt", [variance], half)], half)
        self._step("Add", [self._step("Mul", [unit, scale], half), bias], half, node.output[0])

    def _softmax(self, node: NodeProto, half: int) -> None:
        last = self._constant([-1], np.int64)
        largest = self._step("ReduceMax", [node.input[0], last], half, keepdims=1)
        powers = self._step("Exp", [self._step("Sub", [node.input[0], largest], half)], half)
        total = self._step("ReduceSum", [powers, last], half, keepdims=1)
        self._step("Div", [powers, total], half, node.output[0])
