"""Turns an fp32 graph into fp16: half-precision weights and arithmetic, fp32 where half would be wrong.

Inputs and outputs keep their types. FP32 islands: statistics (LayerNorm, means, sums, powers, roots), softmax, and all
that works on positions of points, whose sines want more digits than fp16 has.
"""

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

STATISTICS = ("LayerNormalization", "ReduceMean", "ReduceSum", "Pow", "Sqrt", "Reciprocal", "Softmax", "Sigmoid")
POSITIONS = ("Sin", "Cos")


def convert(path: Path) -> None:
    """Rewrites the graph at a path in fp16."""
    model = onnx.load(path)
    half = convert_float_to_float16(
        model, keep_io_types=True, op_block_list=[*STATISTICS, *POSITIONS], disable_shape_infer=False
    )
    del half.graph.value_info[:]
    onnx.checker.check_model(half)
    onnx.save(half, path)
