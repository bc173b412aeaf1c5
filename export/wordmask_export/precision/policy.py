"""Strongly typed graphs: half-precision weights and arithmetic, and islands of nodes that stay in fp32.

TensorRT computes each layer in the type that the ONNX graph has, so precision is set here for each graph, in POLICY.
Its figures are relative errors of the outputs against fp32, with the island and (->) without it, in units of 1e-4: fp16
on an earlier training of the `tiny` bundle and three held-out scenes, fp16 on the full-size models with random weights
("full"), bf16 on `tiny`. The result of every half-precision node was rounded, in a norm at each of its steps. ONNX
Runtime on the CPU does not show these errors, because it fuses fp16 nodes and keeps fp32 between them.

Measured, but without enough effect for an island: softmax (clip_image 4.5 -> 4.6, full 6.4 -> 6.5; loftup 4.3 -> 4.4),
QuickGELU's sigmoid (no change), LoftUp's tables in fp32 up to the first norm (4.3 -> 4.9; class map within 0.0001), the
residual streams of all but clip_image (loftup 5.8 -> 6.0), the IoU head in fp32 (no change). Mask IoU is at least 0.98
(tiny) and 0.997 (full) under every choice; where tiny's predicted IoU saturates, rounding decides which of the three
masks is best.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto

from wordmask.bundle.engines import Precision
from wordmask_export.precision.retype import retype, value_types, widened

STATISTICS = ("ReduceMean", "ReduceSum", "ReduceL2", "Pow", "Sqrt", "Reciprocal")
ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Neg", "Max", "Min", "Clip", "Cast"}
HEAVY = {"MatMul", "Gemm", "Conv", "LayerNormalization", "Softmax", "Gelu"}


class Wiring:
    """Producers and consumers of a graph's tensors; nodes are given by their index."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self.nodes = list(graph.node)
        self.constants = {tensor.name for tensor in graph.initializer}
        bytes_ = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
        self.pixels = bytes_ | ({value.name for value in graph.input} & {"image"})
        self.outputs = {value.name for value in graph.output}
        self.producer = {name: index for index, node in enumerate(self.nodes) for name in node.output}
        self.consumers: dict[str, set[int]] = defaultdict(set)
        for index, node in enumerate(self.nodes):
            for name in node.input:
                self.consumers[name].add(index)

    def after(self, index: int) -> set[int]:
        """The nodes that read a node's outputs."""
        return {consumer for name in self.nodes[index].output for consumer in self.consumers[name]}

    def is_output(self, index: int) -> bool:
        """Whether a node computes one of the graph's outputs."""
        return not self.outputs.isdisjoint(self.nodes[index].output)

    def of_type(self, *types: str) -> set[int]:
        """The nodes with the given operators."""
        return {index for index, node in enumerate(self.nodes) if node.op_type in types}


def normalised_pixels(wiring: Wiring, _: set[int]) -> set[int]:
    """The nodes that normalise an image's pixels, 0 to 255."""
    known, found = set(wiring.pixels), set()
    for index, node in enumerate(wiring.nodes):
        variable = [name for name in node.input if name not in wiring.constants]
        if node.op_type in ELEMENTWISE | {"Transpose"} and variable and known.issuperset(variable):
            found.add(index)
            known.update(node.output)
    return found


def layer_norms(wiring: Wiring, _: set[int]) -> set[int]:
    """LayerNormalization nodes."""
    return wiring.of_type("LayerNormalization")


def statistics(wiring: Wiring, _: set[int]) -> set[int]:
    """Norms written as squares, their means or sums, and roots."""
    return feeders(wiring, wiring.of_type(*STATISTICS))


def feeders(wiring: Wiring, single: set[int]) -> set[int]:
    """The given nodes and the elementwise nodes whose outputs go only into them, such as the sum before a LayerNorm."""
    found = set(single)
    for index in range(len(wiring.nodes) - 1, -1, -1):  # backwards, so that chains are followed
        after = wiring.after(index)
        elementwise = wiring.nodes[index].op_type in ELEMENTWISE
        if elementwise and after and after <= found and not wiring.is_output(index):
            found.add(index)
    return found


def angles(wiring: Wiring, _: set[int]) -> set[int]:
    """Sines and cosines with all nodes that compute their arguments."""
    found = wiring.of_type("Sin", "Cos")
    todo = list(found)
    while todo:
        before = {wiring.producer[name] for name in wiring.nodes[todo.pop()].input if name in wiring.producer}
        todo.extend(before - found)
        found |= before
    return found


def results(wiring: Wiring, _: set[int]) -> set[int]:
    """Nodes after the last HEAVY one on each path to the outputs, which are fp32."""
    found: set[int] = set()
    for index in range(len(wiring.nodes) - 1, -1, -1):
        after = wiring.after(index)
        if wiring.nodes[index].op_type not in HEAVY and after <= found and (after or wiring.is_output(index)):
            found.add(index)
    return found


@dataclass(frozen=True)
class Island:
    """Nodes that stay in fp32.

    Attributes:
        select: finds them; its second argument is the nodes that are already in fp32.
        why: the measured effect, or the reason.
    """

    select: Callable[[Wiring, set[int]], set[int]]
    why: str


LOFTUP = (
    Island(layer_norms, "logits 6.0 -> 8.1 e-4, full 11.7 -> 13.6, bf16 51 -> 77 (class map 0.991 -> 0.986)"),
    Island(statistics, "range: 256 squared is infinite in fp16 (largest seen: 5.2); no change in error measured"),
    Island(results, "scaling to cosines: 6.0 -> 6.8 e-4, full 11.7 -> 12.1, bf16 51 -> 57"),
)
SAM2_DECODER = (
    Island(layer_norms, "3.9 -> 196 e-4, bf16 34 -> 36"),
    Island(statistics, "range, as above; no change in error measured"),
    Island(angles, "masks 4.1 -> 6.4 e-4 with weights that were replaced since; no change with today's"),
    Island(results, "saturated IoU must not tie"),
)
POLICY: dict[str, tuple[Island, ...]] = {
    "clip_image": (
        Island(normalised_pixels, "4.5 -> 9.0 e-4, full 6.4 -> 8.2, bf16 40 -> 82"),
        Island(layer_norms, "4.5 -> 9.3 e-4, full 6.4 -> 11.1, bf16 40 -> 76"),
        Island(feeders, "the residual stream: 4.6 -> 7.0 e-4, full 6.5 -> 10.7, bf16 41 -> 60"),
    ),
    "backbone_image": (
        Island(normalised_pixels, "all as clip_image; together 3.3 e-4 of a narrow DINOv2"),
        Island(layer_norms, "as clip_image"),
        Island(feeders, "the residual stream, as clip_image"),
    ),
    "clip_text": (
        Island(layer_norms, "4.1 -> 5.5 e-4, full 16.3 -> 16.7, bf16 34 -> 47"),
        Island(results, "scaling to unit length: 4.2 -> 5.2 e-4, full 16.1 -> 16.3, bf16 38 -> 45"),
    ),
    "loftup": LOFTUP,
    "loftup_cpu": LOFTUP,
    "loftup_features": LOFTUP,
    "sam2_encoder": (
        Island(normalised_pixels, "high_res_0 3.9 -> 6.9 e-4, full 7.8 -> 10.6, bf16 33 -> 111"),
        Island(layer_norms, "image_embed 5.8 -> 6.6 e-4, full 12.6 -> 13.1, bf16 49 -> 56; and range, as above"),
    ),
    "sam2_decoder": SAM2_DECODER,
    "sam2_mask_decoder": SAM2_DECODER,
}


def typed(model: ModelProto, graph: str, precision: Precision) -> ModelProto:
    """A graph of a bundle, strongly typed.

    Args:
        model: fp32, with constants stored in fp16 (half_weights), or typed in fp16 itself.
        graph: its name in the manifest.
        precision: of weights and arithmetic outside the islands of POLICY.

    Returns:
        A graph with the same inputs and outputs; checked by ONNX, with its types.

    Raises:
        ValueError: there is no policy for the graph, or a weight is too large for fp16.
    """
    if graph not in POLICY:
        raise ValueError(f"{graph}: there is no policy of fp32 islands for it, expected one of {', '.join(POLICY)}")
    result = widened(model)
    if precision != "fp32":
        result = retype(result, islands(result, POLICY[graph]), precision)
    onnx.checker.check_model(result)
    value_types(result)
    return result


def convert(path: Path, graph: str, precision: Precision) -> None:
    """Rewrites the graph at a path; see typed."""
    onnx.save(typed(onnx.load(path), graph, precision), path)


def islands(model: ModelProto, policy: tuple[Island, ...]) -> set[int]:
    """Indices of the nodes that stay in fp32."""
    wiring, single = Wiring(model), set[int]()
    for island in policy:
        single |= island.select(wiring, single)
    return single
