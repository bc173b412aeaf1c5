"""From a strongly typed ONNX graph to a TensorRT plan. The only module that builds with the `tensorrt` API.

Precision lives in the ONNX: 10.13 and later are told so by a flag of the network, 11 knows no other way. TF32 is off,
as it would round what the graph keeps in fp32 on purpose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wordmask.bundle.engines import Precision, Profile, shape_of
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask_export.tensorrt.api import (
    SHOWN,
    EngineBuildError,
    last,
    make_logger,
    make_monitor,
    usable_tensorrt,
    version,
)

STRONG_BY_DEFAULT = 11  # since this version every network is strongly typed
DTYPES = {"uint8": "UINT8", "int32": "INT32", "float32": "FLOAT"}
HEAVY = {"CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM"}
COORDINATES = 4  # a product over so few numbers is a change of coordinates, which stays in fp32
WORD = re.compile(r"[^\s,()\[\]{}'\"]+")
NODE = re.compile(r"\bnode(?:s| name:| with name:)? '?(\{.+?\}|[^\s'()]*[^\s'().,:])")


@dataclass(frozen=True)
class Compiled:
    """A plan and what is known of it.

    Attributes:
        plan: serialized engine, for this GPU and this version of TensorRT.
        layers: layers of the network by the type of their first output, constants apart.
        timing_cache: the one that was given, with what this build measured.
    """

    plan: bytes
    layers: dict[str, int]
    timing_cache: bytes


def compile_network(
    model: bytes,
    entry: GraphEntry,
    profiles: tuple[Profile, ...],
    *,
    timing_cache: bytes,
    log: Callable[[str], None],
    workspace: int | None = None,
    precision: Precision | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Compiled:
    """Builds the engine of one graph.

    Args:
        model: strongly typed ONNX with the interface of `entry`, without external data.
        entry: the graph's entry in the manifest.
        profiles: one optimisation profile each, in this order.
        timing_cache: of an earlier build, or nothing; one of another GPU or version is left aside.
        log: is told what TensorRT says, a message a call, from any thread; must not raise.
        workspace: most bytes of GPU memory a layer may use; TensorRT's own limit by default.
        precision: what was asked for; fp16 and bf16 refuse a network whose products are fp32.
        cancelled: is asked between steps; the build ends soon after it says so.

    Raises:
        MissingExtraError: TensorRT is not installed.
        EngineBuildError: TensorRT cannot start, cannot read the graph, or cannot build it.
    """
    trt = usable_tensorrt()
    logger = make_logger(trt, log)
    builder = _start(trt, logger)
    network = builder.create_network(_network_flags(trt))
    _parse(trt, network, logger, model, entry)
    _check_interface(network, entry)
    layers = list(_computing(network))
    if precision in ("fp16", "bf16"):
        _check_precision(layers, entry, precision)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.progress_monitor = make_monitor(trt, cancelled)
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    for number, profile in enumerate(profiles):
        _add_profile(builder, config, entry, profile, number)
    _use_timing_cache(config, timing_cache, log)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineBuildError(_build_failure(entry, logger.messages, [layer.name for layer in layers], cancelled()))
    measured = config.get_timing_cache()
    return Compiled(
        plan=bytes(plan),
        layers=dict(Counter(_type(layer) for layer in layers)),
        timing_cache=bytes(measured.serialize()) if measured is not None else b"",
    )


def verify(plan: bytes, entry: GraphEntry, profiles: tuple[Profile, ...], log: Callable[[str], None]) -> None:
    """Loads a plan as the runtime will, on this machine's GPU.

    Raises:
        EngineBuildError: TensorRT refuses it, or it is not the engine of this graph and these profiles.
    """
    trt = usable_tensorrt()
    logger = make_logger(trt, log)
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineBuildError(
            f"{entry.file}: TensorRT {trt.__version__} refuses the plan{last(logger.messages)}; "
            "do the GPU's driver and the tensorrt package fit each other?"
        )
    names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    expected = {tensor.name for tensor in (*entry.inputs, *entry.outputs)}
    if names != expected or engine.num_optimization_profiles != len(profiles):
        raise EngineBuildError(
            f"{entry.file}: the engine has {sorted(names)} and {engine.num_optimization_profiles} profiles, expected "
            f"{sorted(expected)} and {len(profiles)}"
        )


def _network_flags(trt: Any) -> int:
    if version(trt)[0] >= STRONG_BY_DEFAULT:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def _start(trt: Any, logger: Any) -> Any:
    try:
        return trt.Builder(logger)
    except (TypeError, RuntimeError) as error:  # how a null pointer from C++ arrives
        raise EngineBuildError(
            f"TensorRT {trt.__version__} cannot start on this machine{last(logger.messages)}; it needs an NVIDIA GPU "
            "and a driver that is new enough (see nvidia-smi)"
        ) from error


def _parse(trt: Any, network: Any, logger: Any, model: bytes, entry: GraphEntry) -> None:
    parser = trt.OnnxParser(network, logger)
    if parser.parse(model):
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    found = [f"node {e.node_name()!r} ({e.node_operator()}): {e.desc()}" for e in errors[:SHOWN]]
    raise EngineBuildError(
        f"{entry.file}: TensorRT {trt.__version__} cannot read the graph: "
        f"{'; '.join(found) or 'it gives no reason'}; try another version of TensorRT"
    )


def _check_interface(network: Any, entry: GraphEntry) -> None:
    found = [network.get_input(index) for index in range(network.num_inputs)]
    found += [network.get_output(index) for index in range(network.num_outputs)]
    actual = {(tensor.name, tensor.dtype.name, len(tensor.shape)) for tensor in found}
    expected = {_interface(tensor) for tensor in (*entry.inputs, *entry.outputs)}
    if actual != expected:
        raise EngineBuildError(
            f"{entry.file}: TensorRT reads another interface than the manifest's: found {sorted(actual - expected)}, "
            f"expected {sorted(expected - actual)}"
        )


def _interface(tensor: Tensor) -> tuple[str, str, int]:
    return tensor.name, DTYPES[tensor.dtype], len(tensor.shape)


def _computing(network: Any) -> Iterator[Any]:
    """The network's layers with an output that is computed."""
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        if layer.num_outputs and layer.type.name != "CONSTANT":
            yield layer


def _type(layer: Any) -> str:
    name: str = layer.get_output(0).dtype.name
    return name


def _check_precision(layers: list[Any], entry: GraphEntry, precision: Precision) -> None:
    """Products must be in half precision: there is the time. Changes of coordinates are none of that."""
    single = [
        layer.name
        for layer in layers
        if layer.type.name in HEAVY and _type(layer) == "FLOAT" and not 0 < layer.get_input(0).shape[-1] <= COORDINATES
    ]
    if single:
        more = f" and {len(single) - SHOWN} more" if len(single) > SHOWN else ""
        raise EngineBuildError(
            f"{entry.file}: {precision} was asked for, but these layers would compute in fp32: "
            f"{', '.join(single[:SHOWN])}{more}; the graph is not what wordmask writes: build the bundle again"
        )


def _add_profile(builder: Any, config: Any, entry: GraphEntry, sizes: Profile, number: int) -> None:
    profile = builder.create_optimization_profile()
    bounds = [{s: getattr(r, end) for s, r in sizes.items()} for end in ("minimum", "optimum", "maximum")]
    try:
        for tensor in entry.inputs:
            if any(isinstance(size, str) for size in tensor.shape):
                profile.set_shape(tensor.name, *(shape_of(tensor, bound) for bound in bounds))
        added = config.add_optimization_profile(profile) >= 0
    except (ValueError, RuntimeError) as error:
        raise EngineBuildError(f"{entry.file}: TensorRT refuses profile {number}, {sizes} ({error})") from error
    if not added:
        raise EngineBuildError(f"{entry.file}: TensorRT refuses profile {number}, {sizes}")


def _use_timing_cache(config: Any, stored: bytes, log: Callable[[str], None]) -> None:
    for content in (stored, b"") if stored else (b"",):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, ignore_mismatch=False):
            return
        log("info: the timing cache is of another GPU or version, or there can be none: not used")


def _build_failure(entry: GraphEntry, messages: list[str], layers: list[str], cancelled: bool) -> str:
    if cancelled:
        return f"{entry.file}: cancelled"
    named = _named(messages, set(layers))
    where = f" at node {named}" if named else ""
    return (
        f"{entry.file}: TensorRT could not build the engine{where}{last(messages)}; if memory is short, close what "
        "else uses the GPU or ask for a smaller --max-batch; --debug DIR writes what reproduces it"
    )


def _named(messages: list[str], layers: set[str]) -> str | None:
    """The node that the messages name: after the word node, or else by the name of a layer."""
    for message in reversed(messages):
        if match := NODE.search(message):
            return match[1]
        for word in WORD.findall(message):
            if word in layers:
                return str(word)
    return None
