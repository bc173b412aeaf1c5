"""Counts the floating-point operations of a graph's matrix products and convolutions from their shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import onnx
from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

from wordmask.errors import BundleError

Shape = tuple[int, ...]
COUNTED = ("MatMul", "Gemm", "Conv", "ConvTranspose")


def count_flops(path: Path, sizes: Mapping[str, int]) -> int:
    """Floating-point operations of one run: two per multiply-add of MatMul, Gemm, Conv and ConvTranspose.

    Other operators (softmax, normalisation, gathers) are not counted, as in a machine's quoted rate.

    Args:
        path: of the ONNX file.
        sizes: of the symbolic dimensions of its inputs.

    Raises:
        BundleError: a symbol has no size, or a shape cannot be derived.
    """
    model = onnx.load(str(path))
    _fix(model, sizes, path)
    inferred = SymbolicShapeInference.infer_shapes(model, auto_merge=True)
    shapes = _shapes(inferred.graph)
    total = 0
    for node in inferred.graph.node:
        if node.op_type in COUNTED:
            used = [shapes.get(name, ()) for name in (*node.input[:2], node.output[0])]
            if not all(used):
                raise BundleError(f"{path}: the shapes of {node.op_type} {node.name!r} cannot be derived")
            total += 2 * _products(node, *used)
    return total


def _fix(model: onnx.ModelProto, sizes: Mapping[str, int], path: Path) -> None:
    """Sets the symbolic dimensions of the inputs and removes the stored shapes of inner tensors."""
    for tensor in model.graph.input:
        for dimension in tensor.type.tensor_type.shape.dim:
            if dimension.dim_param:
                if dimension.dim_param not in sizes:
                    raise BundleError(f"{path}: {tensor.name} has the symbol {dimension.dim_param!r}: give its size")
                dimension.dim_value = sizes[dimension.dim_param]
    del model.graph.value_info[:]


def _shapes(graph: onnx.GraphProto) -> dict[str, Shape]:
    """Shapes of all tensors whose every dimension is known."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dimensions = value.type.tensor_type.shape.dim
        if all(dimension.HasField("dim_value") for dimension in dimensions):
            shapes[value.name] = tuple(dimension.dim_value for dimension in dimensions)
    return shapes


def _products(node: onnx.NodeProto, left: Shape, right: Shape, out: Shape) -> int:
    """Number of multiply-adds of a node whose operator is in COUNTED."""
    if node.op_type == "MatMul":
        return math.prod(out) * left[-1]
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        return math.prod(out) * left[0 if transposed else 1]
    positions = out if node.op_type == "Conv" else left
    return math.prod(positions) * math.prod(
        right[1:]
    )  # weight (M, C/group, kernel...), of ConvTranspose (C, M/group, ...)
