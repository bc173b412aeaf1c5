"""Rewrites a graph so that each node computes in a chosen precision, with casts between precisions.

Constants are stored in the precision in which they are read; inputs and outputs keep their types. A value is cast to
each precision at most once, where it is first read.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Half = Literal["fp16", "bf16"]
TYPES: dict[Half, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
LOWEST = np.finfo(np.float32).min  # torch uses it in attention masks
LARGE = 4096  # elements: larger constants are not used to compute shapes
OPSETS: dict[int, int] = {
    TensorProto.FLOAT16: 20,
    TensorProto.BFLOAT16: 22,
}  # from these on, all operators used here support the type
TYPELESS = ("Shape", "Size")  # operators that do not read values
SINGLE_INPUTS = {"Resize": (1, 2)}  # inputs that ONNX requires in fp32


def retype(model: ModelProto, single: Collection[int], precision: Half) -> ModelProto:
    """A copy of an fp32 graph that computes in half precision, except for some nodes.

    Args:
        model: fp32, without functions of its own.
        single: indices of the nodes that stay in fp32.
        precision: of all others.

    Returns:
        A graph with the same inputs and outputs.

    Raises:
        ValueError: a constant is too large for half precision.
    """
    assert not model.functions
    writer = _Writer(model, TYPES[precision])
    for index, node in enumerate(model.graph.node):
        writer.add(node, TensorProto.FLOAT if index in single else TYPES[precision])
    return writer.finish()


def widened(model: ModelProto) -> ModelProto:
    """An fp32 copy of a graph that has fp16 constants with casts (see half_weights), or fp16 arithmetic."""
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    kinds = value_types(model)
    renamed: dict[str, str] = {}
    outputs = {value.name for value in graph.output}
    casts = [node for node in graph.node if _is_float_cast(node, kinds)]
    for node in casts:  # both sides of a cast get one name; the name of an output is kept
        old, new = node.input[0], node.output[0]
        old, new = (old, new) if new in outputs else (new, old)
        renamed[old] = new
    others = [node for node in graph.node if not _is_float_cast(node, kinds)]
    for node in others:
        for names in (node.input, node.output):
            names[:] = [_last(renamed, name) for name in names]
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.FLOAT
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
        tensor.name = _last(renamed, tensor.name)
    kept = [NodeProto.FromString(node.SerializeToString()) for node in others]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    return result


def _is_float_cast(node: NodeProto, kinds: dict[str, int]) -> bool:
    """Whether a node is a cast between floating-point types."""
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    return node.op_type == "Cast" and all(kinds[name] in floats for name in (node.input[0], node.output[0]))


def _last(renamed: dict[str, str], name: str) -> str:
    while name in renamed:
        name = renamed[name]
    return name


def value_types(model: ModelProto) -> dict[str, int]:
    """Element type of every tensor of a graph, by name.

    Raises:
        onnx.shape_inference.InferenceError: an operator does not accept its types or shapes.
    """
    bare = _without_weights(model)
    graph = onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True, data_prop=True).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    types: dict[str, int] = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _without_weights(model: ModelProto) -> ModelProto:
    """The graph with its large constants turned into inputs, so that type inference does not copy them."""
    graph = model.graph
    large = [tensor for tensor in graph.initializer if math.prod(tensor.dims) > LARGE]
    declared = [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in large]
    small = [tensor for tensor in graph.initializer if math.prod(tensor.dims) <= LARGE]
    bare = helper.make_graph(graph.node, graph.name, [*graph.input, *declared], graph.output, small)
    return helper.make_model(bare, opset_imports=model.opset_import, ir_version=model.ir_version)


def lowered(tensor: TensorProto, name: str, element: int) -> TensorProto:
    """An fp32 constant in half precision, rounded to nearest even; infinities are kept.

    Raises:
        ValueError: a finite value is too large.
    """
    values = numpy_helper.to_array(tensor)
    values = np.where(values <= LOWEST, -np.inf, values).astype(np.float32)
    if element == TensorProto.BFLOAT16:
        return TensorProto(name=name, dims=values.shape, data_type=element, raw_data=_bfloat16(values).tobytes())
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if np.any(np.isinf(half) & np.isfinite(values)):
        largest = float(np.abs(values[np.isfinite(values)]).max())
        raise ValueError(f"{tensor.name} goes up to {largest:g}: too large for fp16; bf16 can hold it")
    return numpy_helper.from_array(half, name)


def _bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of fp32 numbers, rounded to nearest even."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


class _Writer:
    """Copies nodes into a new graph, each in its precision."""

    def __init__(self, model: ModelProto, half: int) -> None:
        self.model = ModelProto()
        self.model.CopyFrom(model)
        del self.model.graph.node[:], self.model.graph.initializer[:]
        for opset in self.model.opset_import:
            opset.version = max(opset.version, OPSETS[half])
        self.half = half
        self.constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}
        self.floats = {name for name, kind in value_types(model).items() if kind == TensorProto.FLOAT}
        self.precision: dict[str, int] = dict.fromkeys(self.floats, TensorProto.FLOAT)
        self.casts: dict[tuple[str, int], str] = {}
        self.kept: dict[str, TensorProto] = {}
        self.lowered: dict[str, str] = {}
        self.taken = {name for node in model.graph.node for name in (*node.input, *node.output)} | set(self.constants)

    def add(self, node: NodeProto, precision: int) -> None:
        """Adds a node that computes in the given precision."""
        copy = NodeProto()
        copy.CopyFrom(node)
        fixed = SINGLE_INPUTS.get(node.op_type, ())
        for position, name in enumerate(node.input):
            if node.op_type in TYPELESS:
                continue
            copy.input[position] = self._read(name, TensorProto.FLOAT if position in fixed else precision)
        for attribute in copy.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
                attribute.i = precision
        self.model.graph.node.append(copy)
        added = self.model.graph.node[-1]
        for position, name in enumerate(node.output):
            if name in self.floats and precision == self.half:
                self._lower(added, position, name)

    def _lower(self, node: NodeProto, position: int, name: str) -> None:
        """Records that an output is in half precision; an output of the graph is cast back to fp32."""
        if name not in self.outputs:
            self.precision[name] = self.half
            return
        inner = node.output[position] = self._fresh(f"{name}_half")
        self.precision[inner] = self.half
        self.casts[name, self.half] = inner
        self._cast(inner, TensorProto.FLOAT, name)

    def _read(self, name: str, precision: int) -> str:
        """The name under which a value can be read in a precision."""
        if name in self.constants:
            return self._constant(name, precision)
        if name not in self.floats or self.precision[name] == precision:
            return name
        if (name, precision) not in self.casts:
            result = self._fresh(f"{name}_{TensorProto.DataType.Name(precision).lower()}")
            self.casts[name, precision] = self._cast(name, precision, result)
        return self.casts[name, precision]

    def _cast(self, name: str, precision: int, result: str) -> str:
        self.model.graph.node.append(helper.make_node("Cast", [name], [result], name=f"cast_{result}", to=precision))
        return result

    def _constant(self, name: str, precision: int) -> str:
        tensor = self.constants[name]
        if tensor.data_type != TensorProto.FLOAT or precision == TensorProto.FLOAT:
            self.kept[name] = tensor
            return name
        if name not in self.lowered:
            half = self.lowered[name] = self._fresh(f"{name}_half")
            self.kept[half] = lowered(tensor, half, precision)
        return self.lowered[name]

    def _fresh(self, name: str) -> str:
        """A name that no tensor has yet."""
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def finish(self) -> ModelProto:
        """The graph with the constants that are used."""
        self.model.graph.initializer.extend(self.kept.values())
        return self.model
