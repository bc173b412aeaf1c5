"""Transposed convolutions whose patches do not overlap, as convolutions: TensorRT's compiler takes no others in bf16.

With kernel and stride s, each pixel becomes s x s pixels of its own: a 1x1 convolution to s * s times the channels,
then DepthToSpace. The same products are summed, so nothing is lost. ONNX Runtime's CPU is twice as fast with the
transposed form, so bundles keep that.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper


def spread(model: ModelProto) -> ModelProto:
    """A copy of an fp32 graph without transposed convolutions.

    Raises:
        ValueError: the patches of one overlap or are padded, or its weights are computed.
    """
    result = ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node.op_type != "ConvTranspose":
            nodes.append(node)
            continue
        weight, bias, replacement = _spread(node, constants)
        graph.initializer.extend([weight, bias])
        nodes.extend(replacement)
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result


def _spread(
    node: NodeProto, constants: dict[str, TensorProto]
) -> tuple[TensorProto, TensorProto, tuple[NodeProto, NodeProto]]:
    """Weight, bias and nodes in place of a transposed convolution."""
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    if not set(node.input[1:]) <= set(constants):
        raise ValueError(f"{node.name}: the weights of a transposed convolution must be constants")
    weight = numpy_helper.to_array(constants[node.input[1]])  # (C, O, s, s)
    inner, outer, rows, columns = weight.shape
    plain = not any(given.get("pads", ())) and not any(given.get("output_padding", ()))
    plain = plain and given.get("group", 1) == 1 and set(given.get("dilations", (1,))) == {1}
    if not plain or rows != columns or list(given.get("strides", (1, 1))) != [rows, columns]:
        raise ValueError(f"{node.name}: a transposed convolution of kernel {rows}x{columns} with {given} overlaps")
    bias = numpy_helper.to_array(constants[node.input[2]]) if len(node.input) > 2 else np.zeros(outer, np.float32)
    name = node.output[0]
    wide = weight.reshape(inner, -1).T[:, :, None, None]  # (O * s * s, C, 1, 1)
    nodes = (
        helper.make_node("Conv", [node.input[0], f"{name}.weight", f"{name}.bias"], [f"{name}.wide"], f"{name}.conv"),
        helper.make_node("DepthToSpace", [f"{name}.wide"], [name], f"{name}.spread", blocksize=rows, mode="CRD"),
    )
    return (
        numpy_helper.from_array(np.ascontiguousarray(wide), f"{name}.weight"),
        numpy_helper.from_array(np.repeat(bias, rows * columns), f"{name}.bias"),
        nodes,
    )
