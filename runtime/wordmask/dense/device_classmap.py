"""The class map of a photo, computed on the GPU that holds its windows' logits.

The logits of a photo of two megapixels are tens of megabytes. To fetch them and to reduce them on the host took half of
a photo's time on an H200 (benchmarks/NOTES.md). So they stay there, and a graph stitches, resizes and classifies them
as wordmask.dense.stitching and wordmask.dense.classmap do, band by band. It consists of gathers and reductions; tables
that are computed here say which pixels it gathers, with which weights. It has no weights and stands beside this module,
for every bundle (wordmask_export.graphs.class_map makes it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.backends import Graph, Value, Values, run_to_host
from wordmask.backends.device import Device
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.dense.classmap import ClassMap
from wordmask.dense.similarities import Words
from wordmask.options import Options
from wordmask.resize import source_positions
from wordmask.system.package_data import data_path

FILE = data_path("wordmask.dense", "data/class_map.onnx")
# B windows of side S in R rows and K columns, C words; a band of y by x pixels of the resized photo becomes Y by X
# pixels of the photo; at most A windows overlap in a column of pixels and E in a row.
INPUTS = (
    Tensor("logits", "float32", ("B", "C", "S", "S")),
    Tensor("layout", "int32", ("R", "K")),
    Tensor("rows", "int32", ("A", "y")),
    Tensor("row_weights", "float32", ("A", "y")),
    Tensor("columns", "int32", ("E", "x")),
    Tensor("column_weights", "float32", ("E", "x")),
    Tensor("left", "int32", ("X",)),
    Tensor("right", "int32", ("X",)),
    Tensor("right_weight", "float32", ("X",)),
    Tensor("above", "int32", ("Y",)),
    Tensor("below", "int32", ("Y",)),
    Tensor("below_weight", "float32", ("Y",)),
    Tensor("class_of_word", "float32", ("C",)),
    Tensor("scale", "float32", (1,)),
)
OUTPUTS = (
    Tensor("index", "uint8", ("Y", "X")),
    Tensor("confidence", "float32", ("Y", "X")),
    Tensor("best", "float32", ("C",)),
    Tensor("checksum", "float32", (1,)),
)
BAND_BYTES = 128 << 20  # of the logits of a band at the photo's resolution; the graph holds about four such arrays
MAX_CLASSES = 255  # the index comes back in bytes
Indices = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Axis:
    """Windows along one side of a photo: their starts, their side and the length of the resized photo, in pixels."""

    starts: tuple[int, ...]
    side: int
    length: int

    def overlap(self, pixels: slice) -> tuple[Indices, Floats]:
        """Where the windows hold some pixels of the resized photo.

        Returns:
            Positions i32 (A, n) in the windows laid end to end, A being the most windows that share a pixel, and their
            weights f32 (A, n), which average them; a position without a window has the weight 0.
        """
        positions = np.arange(self.length)[pixels]
        inside = [(positions >= start) & (positions < start + self.side) for start in self.starts]
        count = np.sum(inside, axis=0)
        found = np.zeros((count.max(), len(positions)), np.int32)
        weights = np.zeros(found.shape, np.float32)
        filled = np.zeros(len(positions), np.intp)
        for number, (start, held) in enumerate(zip(self.starts, inside, strict=True)):
            at = np.flatnonzero(held)
            found[filled[at], at] = number * self.side + positions[at] - start
            weights[filled[at], at] = np.float32(1) / count[at]
            filled[at] += 1
        return found, weights


def load_class_map(device: Device) -> Graph:
    """The graph on a device of ONNX Runtime.

    Raises:
        DeviceError: the device cannot be used.
    """
    return OrtGraph(FILE, GraphEntry(FILE.name, "", 0, INPUTS, OUTPUTS), device=str(device))


def can_classify(words: Words, options: Options) -> bool:
    """Whether the graph gives what the host would, if LoftUp is evaluated at every pixel of the windows."""
    few = words.projection is None and len(words.class_starts) <= MAX_CLASSES
    return few and not options.pamr and options.upsample_scope == "window"


def classify_on_device(
    graph: Graph,
    logits: Value,
    corners: Sequence[tuple[int, int]],
    resized: tuple[int, int],
    class_starts: Sequence[int],
    size: tuple[int, int],
    logit_scale: float,
) -> ClassMap:
    """Stitches windows, resizes to the photo and takes the most probable class.

    Args:
        graph: see load_class_map.
        logits: f32 (B, C, S, S), cosine similarities of each window's pixels with each word, usually on a device.
        corners: (y, x) of each window's top left in the resized photo, row by row, as cut_windows gives them.
        resized: height and width of the resized photo.
        class_starts: index of each class's first word; at most MAX_CLASSES.
        size: height and width of the photo.
        logit_scale: multiplies the similarities.

    Returns:
        The class map that wordmask.dense.classmap.classify gives of the stitched windows; the probabilities differ in
        the last digits.

    Raises:
        NumericError: a logit is NaN or infinite.
    """
    index, confidence = np.empty(size, np.int32), np.empty(size, np.float32)
    best = np.zeros(logits.shape[1], np.float32)
    for band, inputs in band_inputs(logits, corners, resized, class_starts, size, logit_scale):
        found = run_to_host(graph, inputs)
        index[band], confidence[band] = found["index"], found["confidence"]
        np.maximum(best, found["best"], out=best)
    return ClassMap(index, confidence, np.maximum.reduceat(best, class_starts))


def band_inputs(
    logits: Value,
    corners: Sequence[tuple[int, int]],
    resized: tuple[int, int],
    class_starts: Sequence[int],
    size: tuple[int, int],
    logit_scale: float,
) -> Iterator[tuple[slice, Values]]:
    """The graph's inputs for the bands of a photo, from top to bottom; see classify_on_device."""
    words, side = logits.shape[1], logits.shape[2]
    rows, columns = (Axis(tuple(sorted({corner[axis] for corner in corners})), side, resized[axis]) for axis in (0, 1))
    left, right, right_weight = source_positions(resized[1], size[1])
    column_index, column_weight = columns.overlap(slice(None))
    class_of_word = np.repeat(np.arange(len(class_starts)), np.diff([*class_starts, words]))
    shared = {
        "logits": logits,
        "layout": np.arange(len(corners), dtype=np.int32).reshape(len(rows.starts), len(columns.starts)),
        "columns": column_index,
        "column_weights": column_weight,
        "left": left.astype(np.int32),
        "right": right.astype(np.int32),
        "right_weight": right_weight,
        "class_of_word": class_of_word.astype(np.float32),
        "scale": np.array([logit_scale], np.float32),
    }
    for band in _bands(size, words):
        above, below, below_weight = source_positions(resized[0], size[0], band)
        source = slice(int(above[0]), int(below[-1]) + 1)
        row_index, row_weight = rows.overlap(source)
        yield (
            band,
            {
                **shared,
                "rows": row_index,
                "row_weights": row_weight,
                "above": (above - source.start).astype(np.int32),
                "below": (below - source.start).astype(np.int32),
                "below_weight": below_weight,
            },
        )


def _bands(size: tuple[int, int], words: int) -> Iterator[slice]:
    """Rows of the photo, in bands of about equal height."""
    rows = max(1, BAND_BYTES // (4 * words * size[1]))
    rows = -(-size[0] // -(-size[0] // rows))
    return (slice(start, min(start + rows, size[0])) for start in range(0, size[0], rows))
