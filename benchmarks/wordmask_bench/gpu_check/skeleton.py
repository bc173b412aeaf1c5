"""Bundles without weights, to carry full-size graphs to a machine that should not spend minutes on building them.

    python -m wordmask_bench.gpu_check.skeleton pack BUNDLE SKELETON
    python -m wordmask_bench.gpu_check.skeleton fill SKELETON BUNDLE

A skeleton is the bundle with every large weight taken out of its graphs. `fill` draws them from a seed with each one's
mean and deviation. Such a bundle takes as long as the real one; its results mean nothing and equal no PyTorch model's.
"""

from __future__ import annotations

import argparse
import json
import shutil
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from wordmask.bundle.manifest import GraphEntry
from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest
from wordmask_export.graphs.onnx_export import describe

SMALL = 4096  # bytes: smaller constants stay, shapes and tables among them
MOMENTS = "moments.json"
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)


def pack(bundle: Path, skeleton: Path) -> None:
    """Writes a bundle's skeleton into a folder that does not exist yet."""
    manifest = read_manifest(bundle)
    skeleton.mkdir(parents=True)
    moments: dict[str, dict[str, tuple[float, float]]] = {}
    for name, entry in manifest.graphs.items():
        model = onnx.load(bundle / entry.file)
        moments[name] = {}
        for tensor in _large(model):
            values = numpy_helper.to_array(tensor).astype(np.float64)
            moments[name][tensor.name] = (float(values.mean()), float(values.std()))
            tensor.ClearField("raw_data")
        onnx.save(model, skeleton / entry.file)
    shutil.copyfile(bundle / manifest.clip.merges.file, skeleton / manifest.clip.merges.file)
    (skeleton / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    (skeleton / MOMENTS).write_text(json.dumps(moments), encoding="utf-8")


def fill(skeleton: Path, bundle: Path) -> None:
    """Writes a whole bundle, its weights random, into a folder that does not exist yet."""
    manifest = read_manifest(skeleton)
    moments: dict[str, dict[str, tuple[float, float]]] = json.loads((skeleton / MOMENTS).read_text(encoding="utf-8"))
    bundle.mkdir(parents=True)
    shutil.copyfile(skeleton / manifest.clip.merges.file, bundle / manifest.clip.merges.file)

    def filled(item: tuple[str, GraphEntry]) -> tuple[str, GraphEntry]:
        name, entry = item
        model = onnx.load(skeleton / entry.file)
        for tensor in model.graph.initializer:
            if tensor.name in moments[name]:
                tensor.raw_data = _drawn(tensor, *moments[name][tensor.name])
        onnx.save(model, bundle / entry.file)
        return name, replace(entry, **asdict(describe(bundle / entry.file)))

    with ThreadPoolExecutor() as pool:  # numpy's generators and hashing leave the interpreter lock
        graphs = dict(pool.map(filled, manifest.graphs.items()))
    whole = replace(manifest, graphs=graphs, domain="random", parity={}).sealed()
    (bundle / FILE_NAME).write_text(whole.to_json(), encoding="utf-8")


def _large(model: onnx.ModelProto) -> Iterator[TensorProto]:
    for tensor in model.graph.initializer:
        if tensor.data_type in FLOATS and len(tensor.raw_data) > SMALL:
            yield tensor


def _drawn(tensor: TensorProto, mean: float, deviation: float) -> bytes:
    """Bytes of normally distributed values, the same for the same tensor's name."""
    random = np.random.default_rng(zlib.crc32(tensor.name.encode()))
    values = random.standard_normal(tuple(tensor.dims), np.float32) * np.float32(deviation) + np.float32(mean)
    kind: Any = np.float16 if tensor.data_type == TensorProto.FLOAT16 else np.float32
    return bytes(values.astype(kind).tobytes())


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("pack", "fill"))
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    {"pack": pack, "fill": fill}[args.do](args.source, args.target)


if __name__ == "__main__":
    main()
