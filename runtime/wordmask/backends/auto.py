"""Finds the fastest device of this machine for a bundle: what `--device auto` takes.

TensorRT where the bundle has engines that fit, else CUDA, else OpenVINO, else ONNX Runtime on the CPU. OpenVINO
computes in bf16 where the processor has units for it: nearly twice as fast, at the price of a few digits, as with half
precision on a GPU (docs/bench.md has both).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from wordmask.backends.device import Device
from wordmask.backends.load import load_graph
from wordmask.bundle.opening import AnyBundle
from wordmask.errors import DeviceError, EngineError, MissingExtraError

if TYPE_CHECKING:
    from wordmask.bundle.engines import Precision

AUTO = "auto"
GPU = 0  # the GPU that is considered
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenDevice:
    """A device, as wordmask.backends.device reads it, and why each faster one cannot be used here, fastest first."""

    name: str
    faster: tuple[tuple[str, str], ...] = ()


def resolve_device(name: str, bundle: AnyBundle, graphs: Collection[str], precision: Precision = "fp16") -> str:
    """The name of a device: as given, or for `auto` that of the one that was chosen, which is logged."""
    if name != AUTO:
        return name
    chosen = choose_device(bundle, graphs, precision)
    logger.info("device auto is %s", chosen.name)
    return chosen.name


def choose_device(bundle: AnyBundle, graphs: Collection[str], precision: Precision = "fp16") -> ChosenDevice:
    """The fastest device that can run a bundle's graphs here.

    Args:
        bundle: whose files are checked; those of its engines are checked when they are loaded.
        graphs: names of those to be run; what the bundle lacks is left out.
        precision: of its TensorRT engines.
    """
    unusable: list[tuple[str, str]] = []
    names = [name for name in bundle.manifest.graphs if name in graphs]
    checks: dict[str, Callable[[], None]] = {
        f"tensorrt:{GPU}": partial(_check_engines, bundle, names, precision),
        f"cuda:{GPU}": partial(_check_cuda, bundle, names),
    }
    for name, check in checks.items():
        try:
            check()
        except (DeviceError, EngineError, MissingExtraError) as error:
            unusable.append((name, str(error)))
        else:
            return ChosenDevice(name, tuple(unusable))
    return _on_cpu(tuple(unusable))


def _check_engines(bundle: AnyBundle, names: Collection[str], precision: Precision) -> None:
    """Raises an error unless each graph has an engine for this GPU."""
    from wordmask.backends.tensorrt.cuda import target_of  # noqa: PLC0415
    from wordmask.bundle.engines import find_engine  # noqa: PLC0415

    target, _ = target_of(GPU)
    for name in names:
        find_engine(bundle.folder, name, bundle.manifest.graphs[name], precision, target)


def _check_cuda(bundle: AnyBundle, names: Collection[str]) -> None:
    """Raises an error unless ONNX Runtime runs the smallest graph on CUDA."""
    graphs = bundle.manifest.graphs
    load_graph(bundle, min(names, key=lambda name: graphs[name].size), Device("cuda", GPU))


def _on_cpu(faster: tuple[tuple[str, str], ...]) -> ChosenDevice:
    from wordmask.backends.openvino import has_bf16  # noqa: PLC0415

    try:
        return ChosenDevice("openvino:bf16" if has_bf16() else "openvino", faster)
    except MissingExtraError as error:
        return ChosenDevice("cpu", (*faster, ("openvino", str(error))))
