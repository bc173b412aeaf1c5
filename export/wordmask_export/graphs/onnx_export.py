"""Exports a module to a checked ONNX file with the inputs and outputs given in the manifest."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import nn

from wordmask.bundle.manifest import File, GraphEntry, Tensor

OPSET = 20
# of the symbols in the traced examples: no two in one graph are equal, and none is 1
SIZES = {"B": 2, "T": 2, "L": 7, "N": 5, "P": 3, "C": 5, "h": 3, "w": 4, "H+4": 28, "W+4": 36, "h*w": 12}


@dataclass(frozen=True)
class Spec:
    """A graph to export.

    Attributes:
        name: of the graph; the file is <name>.onnx.
        module: to export.
        inputs: with symbols for dynamic dimensions.
        outputs: the same, in the order in which the module returns them.
    """

    name: str
    module: nn.Module
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def example(self) -> tuple[torch.Tensor, ...]:
        """A tensor of zeros for each input; its symbols have the sizes of SIZES."""
        return tuple(
            torch.zeros(
                [SIZES[n] if isinstance(n, str) else n for n in tensor.shape], dtype=getattr(torch, tensor.dtype)
            )
            for tensor in self.inputs
        )


def export(spec: Spec, folder: Path) -> GraphEntry:
    """Writes <folder>/<name>.onnx and returns its entry for the manifest.

    Raises:
        onnx.checker.ValidationError: the exporter wrote an invalid graph.
        ValueError: the graph's inputs or outputs differ from the spec.
    """
    path = folder / f"{spec.name}.onnx"
    dynamic = tuple(
        {axis: torch.export.Dim.AUTO for axis, size in enumerate(tensor.shape) if isinstance(size, str)} or None
        for tensor in spec.inputs
    )
    with _quiet():
        program = torch.onnx.export(
            spec.module,
            spec.example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in spec.inputs],
            output_names=[tensor.name for tensor in spec.outputs],
            dynamic_shapes=dynamic,
        )
    assert program is not None
    model = program.model_proto
    tidy(model)
    name_dimensions(model.graph.input, spec.inputs)
    name_dimensions(model.graph.output, spec.outputs)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return GraphEntry(**describe(path).__dict__, inputs=spec.inputs, outputs=spec.outputs)


def tidy(model: onnx.ModelProto) -> None:
    """Removes the exporter's metadata: local paths, stack traces, inferred shapes."""
    graphs = [model.graph, *model.functions]
    for part in graphs:
        for node in part.node:
            del node.metadata_props[:]
            node.doc_string = ""
        del part.value_info[:]
        del part.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    del model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""


def name_dimensions(values: Sequence[onnx.ValueInfoProto], tensors: Sequence[Tensor]) -> None:
    """Checks inputs or outputs against the spec and names their dynamic dimensions."""
    if [value.name for value in values] != [tensor.name for tensor in tensors]:
        raise ValueError(f"the graph has {[v.name for v in values]}, expected {[t.name for t in tensors]}")
    for value, tensor in zip(values, tensors, strict=True):
        found = value.type.tensor_type
        if onnx.helper.tensor_dtype_to_np_dtype(found.elem_type).name != tensor.dtype:
            raise ValueError(f"{tensor.name} has element type {found.elem_type}, expected {tensor.dtype}")
        if len(found.shape.dim) != len(tensor.shape):
            raise ValueError(f"{tensor.name} has {len(found.shape.dim)} dimensions, expected {tensor.shape}")
        for dimension, size in zip(found.shape.dim, tensor.shape, strict=True):
            fixed = dimension.dim_value if dimension.HasField("dim_value") else None
            if isinstance(size, str) and fixed is not None:
                raise ValueError(f"{tensor.name}: {size} was fixed at {fixed} by the exporter, expected dynamic")
            if isinstance(size, int) and fixed not in (None, size):
                raise ValueError(f"{tensor.name}: a dimension is {fixed}, expected {size}")
            dimension.Clear()
            if isinstance(size, str):
                dimension.dim_param = size
            else:
                dimension.dim_value = size


def describe(path: Path) -> File:
    """Name, hash and size of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return File(path.name, digest, path.stat().st_size)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the exporter's progress messages and warnings; errors are exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
