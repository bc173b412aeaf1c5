"""Pixel-adaptive mask refinement: scores spread to neighbours of like colour, at the photo's size.

PAMR: Araslanov and Roth, "Single-Stage Semantic Segmentation from Image Labels" (CVPR 2020), as SCLIP applies it: to
the similarities, before they are scaled. Its graph has no weights and stands beside this module, for every bundle
(wordmask_export.graphs.pamr makes it).

Ten steps carry scores at most 160 pixels. So bands of the photo with that much around them give exactly what the whole
photo gives, and memory does not grow with it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from wordmask.arrays import Floats
from wordmask.backends import Graph, run_to_host
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.resize import bilinear
from wordmask.system.package_data import data_path

FILE = data_path("wordmask.dense", "data/pamr.onnx")
GUIDANCE, LOGITS, REFINED = "guidance", "logits", "refined"
INPUTS = (Tensor(GUIDANCE, "float32", (3, "H", "W")), Tensor(LOGITS, "float32", ("C", "H", "W")))
OUTPUTS = (Tensor(REFINED, "float32", ("C", "H", "W")),)
REACH = 160  # pixels: 10 steps of at most 16
BAND_PIXELS = 1 << 21  # of a band with what is around it; its 16 weights a pixel take 128 MiB
WORDS_A_RUN = 4  # more share the weights' computation, and leave the processor's caches


def load_pamr(threads: int | None = None) -> Graph:
    """The graph, on the processor."""
    return OrtGraph(FILE, GraphEntry(FILE.name, "", 0, INPUTS, OUTPUTS), device="cpu", threads=threads)


def refined_bands(graph: Graph, logits: Floats, resized: NDArray[np.uint8], size: tuple[int, int]) -> Iterator[Floats]:
    """Similarities at the photo's size, refined by the photo's colours.

    Args:
        graph: see load_pamr.
        logits: f32 (Q, h, w), of each word.
        resized: u8 (h, w, 3), the photo as CLIP saw it: like SCLIP's, the guidance is its bilinear enlargement.
        size: height and width of the photo.

    Yields:
        Bands of the photo from top to bottom, f32 (Q, rows, W).
    """
    colours = np.ascontiguousarray(resized.transpose(2, 0, 1), np.float32)  # (3, h, w)
    for rows in _bands(*size):
        around = slice(max(rows.start - REACH, 0), min(rows.stop + REACH, size[0]))
        inner = slice(rows.start - around.start, rows.stop - around.start)
        guidance = bilinear(colours, size, around)
        band = np.empty((len(logits), rows.stop - rows.start, size[1]), np.float32)
        for start in range(0, len(logits), WORDS_A_RUN):
            part = bilinear(logits[start : start + WORDS_A_RUN], size, around)
            band[start : start + len(part)] = run_to_host(graph, {GUIDANCE: guidance, LOGITS: part})[REFINED][:, inner]
        yield band


def _bands(height: int, width: int) -> Iterator[slice]:
    rows = max(REACH, BAND_PIXELS // width - 2 * REACH)
    count = -(-height // rows)
    rows = -(-height // count)
    for start in range(0, height, rows):
        yield slice(start, min(start + rows, height))
