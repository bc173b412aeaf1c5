"""config.pbtxt: what an NVIDIA Triton server must know of a model, as the text form of its protobuf ModelConfig.

Written by hand, so that neither protobuf nor Triton's client is needed; the tests read it with Triton's own protobuf.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from wordmask.bundle.engines import ROWS, Profile, shape_of
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.triton.request import ANNOTATIONS, OPTIONS, PHOTO, REPORT, SEMANTIC, WORDS

Backend = Literal["onnxruntime", "tensorrt"]
Kind = Literal["KIND_GPU", "KIND_CPU"]
FILES: dict[Backend, str] = {"onnxruntime": "model.onnx", "tensorrt": "model.plan"}
_TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float32": "TYPE_FP32"}
Message = Mapping[str, Any]


class Symbol(str):
    """A protobuf enumeration's value: written without quotes."""

    __slots__ = ()


def batch_symbol(entry: GraphEntry) -> str | None:
    """The symbol of a graph's rows where all its inputs and outputs begin with them; else None.

    Only such a graph batches in Triton's sense: the server joins requests along the first axis of every tensor.
    """
    tensors = (*entry.inputs, *entry.outputs)
    first = {tensor.shape[0] for tensor in tensors if len(tensor.shape) > 1}
    if len(first) != 1 or any(len(tensor.shape) < 2 for tensor in tensors):
        return None
    symbol = first.pop()
    return symbol if isinstance(symbol, str) and symbol in ROWS else None


def graph_config(
    model: str,
    entry: GraphEntry,
    backend: Backend,
    kind: Kind,
    *,
    rows: int,
    instances: int,
    profiles: Sequence[Profile] = (),
    warm_up: Sequence[Mapping[str, int]] = (),
) -> str:
    """The config.pbtxt of a graph.

    Args:
        model: its name on the server.
        entry: of the manifest.
        backend: what runs it.
        kind: where.
        rows: the most that the server joins in a batch, if the graph batches (see batch_symbol).
        instances: copies a GPU, or on the processor.
        profiles: of an engine. It gets no batches from the server: the engine takes just the rows it was built for, and
            who calls it pads them (wordmask.backends.tensorrt.buckets).
        warm_up: sizes of the symbols, a run before the model counts as ready for each.
    """
    symbol = None if profiles else batch_symbol(entry)
    group: dict[str, Any] = {"kind": Symbol(kind), "count": instances}
    if profiles:
        group["profile"] = [str(index) for index in range(len(profiles))]
    return as_text(
        {
            "name": model,
            "backend": backend,
            "default_model_filename": FILES[backend],
            "max_batch_size": rows if symbol else 0,
            "input": [_tensor(tensor, batched=symbol is not None) for tensor in entry.inputs],
            "output": [_tensor(tensor, batched=symbol is not None) for tensor in entry.outputs],
            "instance_group": [group],
            **({"dynamic_batching": {}} if symbol and rows > 1 else {}),
            "model_warmup": [_warm_up(entry, sizes, symbol) for sizes in warm_up],
        }
    )


def chain_config(model: str, *, workers: int, in_flight: int) -> str:
    """The config.pbtxt of the Python model.

    It is not warmed up: the models it calls may not be ready yet when it is.
    """

    def tensor(name: str, **more: object) -> dict[str, Any]:
        return {"name": name, "data_type": Symbol("TYPE_STRING"), "dims": [1], **more}

    return as_text(
        {
            "name": model,
            "backend": "python",
            "max_batch_size": in_flight,
            "input": [tensor(PHOTO), tensor(WORDS), tensor(OPTIONS, optional=True)],
            "output": [tensor(ANNOTATIONS), tensor(SEMANTIC), tensor(REPORT)],
            "instance_group": [{"kind": Symbol("KIND_CPU"), "count": workers}],
            "dynamic_batching": {},
        }
    )


def _tensor(tensor: Tensor, *, batched: bool) -> dict[str, Any]:
    shape = tensor.shape[1:] if batched else tensor.shape
    dims = [-1 if isinstance(size, str) else size for size in shape]
    return {"name": tensor.name, "data_type": Symbol(_TYPES[tensor.dtype]), "dims": dims}


def _warm_up(entry: GraphEntry, sizes: Mapping[str, int], symbol: str | None) -> dict[str, Any]:
    inputs = []
    for tensor in entry.inputs:
        shape = shape_of(tensor, sizes)
        dims = list(shape[1:] if symbol else shape)
        zeros = {"data_type": Symbol(_TYPES[tensor.dtype]), "dims": dims, "zero_data": True}
        inputs.append({"key": tensor.name, "value": zeros})
    name = ", ".join(f"{key} {size}" for key, size in sorted(sizes.items()))
    return {"name": name, "batch_size": sizes[symbol] if symbol else 1, "inputs": inputs}


def as_text(message: Message, indent: str = "") -> str:
    """A message in protobuf's text form; lists are repeated fields, mappings messages."""
    lines = []
    for name, value in message.items():
        if isinstance(value, Mapping) or (isinstance(value, list) and value and isinstance(value[0], Mapping)):
            for item in value if isinstance(value, list) else [value]:
                inner = as_text(item, f"{indent}  ")
                lines.append(f"{indent}{name} {{\n{inner}{indent}}}\n" if inner else f"{indent}{name} {{ }}\n")
        elif isinstance(value, list):
            lines.append(f"{indent}{name}: [{', '.join(map(_scalar, value))}]\n")
        else:
            lines.append(f"{indent}{name}: {_scalar(value)}\n")
    return "".join(lines)


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, Symbol) else json.dumps(value)  # true, 3, "text"
