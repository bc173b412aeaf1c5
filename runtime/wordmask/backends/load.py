"""From a device's name to the graph that runs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from wordmask.backends import Graph
from wordmask.backends.device import Device
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.bundle.opening import AnyBundle

if TYPE_CHECKING:
    from wordmask.bundle.engines import Precision


def load_graph(
    bundle: AnyBundle, name: str, device: Device, *, threads: int | None = None, tensorrt_precision: Precision = "fp16"
) -> Graph:
    """Loads a graph of a bundle on a device.

    Args:
        bundle: whose files are checked.
        name: of the graph in the manifest.
        device: what runs it.
        threads: of one run on the CPU; all of this process's cores by default.
        tensorrt_precision: which of the bundle's TensorRT engines; of no other device.

    Raises:
        BundleError: the file is no valid graph, or its interface is not the manifest's.
        DeviceError: the device cannot be used.
        EngineError: the bundle has no engine for this GPU that may be used.
        MissingExtraError: what the device needs is not installed.
    """
    graphs = bundle.manifest.graphs
    entry = graphs.get(f"{name}_cpu", graphs[name]) if device.on_cpu else graphs[name]
    if device.kind in ("openvino", "openvino:bf16"):
        from wordmask.backends.openvino import OpenVinoGraph  # noqa: PLC0415

        precision: Literal["bf16", "fp32"] = "bf16" if device.kind == "openvino:bf16" else "fp32"
        return OpenVinoGraph(bundle.path(entry), entry, precision=precision, threads=threads)
    if device.kind == "tensorrt":
        from wordmask.backends.tensorrt.graph import load_engine  # noqa: PLC0415

        return load_engine(bundle.folder, name, entry, tensorrt_precision, device.index)
    cache = None
    if device.kind == "tensorrt-rtx":
        from wordmask.backends.onnxruntime.tensorrt_rtx import EngineCache  # noqa: PLC0415

        cache = EngineCache(bundle.folder, name, bundle.manifest.precision)
    return OrtGraph(bundle.path(entry), entry, device=str(device), threads=threads, cache=cache)
