"""Pixel-adaptive mask refinement as an ONNX graph.

`python -m wordmask_export.graphs.pamr` writes the file that the runtime ships.

PAMR: Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (CVPR 2020), equations 2 and 3; SCLIP
takes 10 steps over the neighbours at distances 8 and 16. Each step replaces a pixel's scores by a mean of its
neighbours', weighted by the similarity of their colours.

It has no weights, so one graph serves every bundle. It is written node by node, because tracing would unroll the steps
and keep all 16 shifted maps in memory. Here each map is added to the sum as soon as it is computed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from wordmask.bundle.manifest import Tensor
from wordmask.dense import pamr
from wordmask_export.graphs.nodes import Nodes, model_of, value_of

STEPS, DISTANCES = 10, (8, 16)
EPSILON, SHARPNESS = 1e-8, 0.1  # of the weights: exp(-|difference| / (EPSILON + SHARPNESS * deviation))


class PamrNodes(Nodes):
    """Nodes with the operations that PAMR repeats."""

    def padded(self, maps: str) -> str:
        """Maps (C, H, W) padded by the distance of the farthest neighbour, with repeated edges."""
        reach = max(DISTANCES)
        return self.add("Pad", maps, self.constant([0, reach, reach] * 2), mode="edge")

    def shifted(self, padded: str, offset: tuple[int, int]) -> str:
        """For each pixel the value at an offset (rows, columns): (C, H, W)."""
        reach = max(DISTANCES)
        starts = [reach + step for step in offset]
        ends = [step - reach or np.iinfo(np.int64).max for step in offset]  # counted from the end
        return self.add("Slice", padded, self.constant(starts), self.constant(ends), self.constant([1, 2]))


def neighbours() -> list[tuple[int, int]]:
    """Offsets of the eight pixels around one, at each distance."""
    around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
    return [(y * distance, x * distance) for distance in DISTANCES for y, x in around]


def build() -> ModelProto:
    """The graph: guidance f32 (3, H, W) and logits f32 (C, H, W) -> refined f32 (C, H, W)."""
    nodes = PamrNodes("n")
    weights = _weights(nodes)
    steps = nodes.add("Constant", value=numpy_helper.from_array(np.array(STEPS, np.int64)))
    true = nodes.add("Constant", value=numpy_helper.from_array(np.array(True)))
    nodes.add("Loop", steps, true, pamr.LOGITS, output=pamr.REFINED, body=_step(weights))
    return model_of("pamr", nodes, pamr.INPUTS, pamr.OUTPUTS)


def _weights(nodes: PamrNodes) -> list[str]:
    """Names of the neighbours' weights (1, H, W), whose sum is 1 at every pixel."""
    padded = nodes.padded(pamr.GUIDANCE)
    near = neighbours()
    places = [*near, *[(0, 0)] * len(DISTANCES)]  # SCLIP's deviation counts the pixel itself once per distance
    number = nodes.constant(float(len(places)))
    mean = nodes.add("Div", nodes.total(nodes.shifted(padded, place) for place in places), number)
    differences = (nodes.add("Sub", nodes.shifted(padded, place), mean) for place in places)
    squares = nodes.total(nodes.add("Mul", difference, difference) for difference in differences)
    deviation = nodes.add("Sqrt", nodes.add("Div", squares, nodes.constant(float(len(places) - 1))))
    scale = nodes.add("Mul", deviation, nodes.constant(SHARPNESS))
    scale = nodes.add("Add", scale, nodes.constant(EPSILON))
    channels = nodes.constant([0])
    alike = []
    for place in near:
        difference = nodes.add("Abs", nodes.add("Sub", pamr.GUIDANCE, nodes.shifted(padded, place)))
        mean = nodes.add("ReduceMean", nodes.add("Div", difference, scale), channels, keepdims=1)
        alike.append(nodes.add("Neg", mean))
    most = alike[0]
    for one in alike[1:]:
        most = nodes.add("Max", most, one)
    shares = [nodes.add("Exp", nodes.add("Sub", one, most)) for one in alike]
    total = nodes.total(iter(shares))
    return [nodes.add("Div", share, total) for share in shares]


def _step(weights: list[str]) -> onnx.GraphProto:
    """One step: the weighted mean of the neighbours' scores."""
    nodes = PamrNodes("step")
    padded = nodes.padded("scores")
    products = (
        nodes.add("Mul", nodes.shifted(padded, place), weight)
        for place, weight in zip(neighbours(), weights, strict=True)
    )
    mean = nodes.total(products)
    nodes.add("Identity", mean, output="mean")
    nodes.add("Identity", "go_on", output="goes_on")
    scores = (Tensor(name, "float32", ("C", "H", "W")) for name in ("scores", "mean"))
    before, after = map(value_of, scores)
    number = helper.make_tensor_value_info("number", TensorProto.INT64, [])
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go_on", "goes_on")]
    return helper.make_graph(nodes.nodes, "step", [number, flags[0], before], [flags[1], after])


if __name__ == "__main__":
    onnx.save(build(), Path(pamr.FILE))
