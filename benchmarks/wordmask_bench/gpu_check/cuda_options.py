"""Each full-size graph under the options of ONNX Runtime's CUDA provider, and the kernels that its time goes to.

Inputs and outputs stay on the GPU, so that the figures are those of the graph alone.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends import Values, to_host
from wordmask.backends.onnxruntime.graph import import_onnxruntime, session_options
from wordmask.bundle.opening import PipelineBundle, open_bundle
from wordmask.dense import device_classmap
from wordmask.dense.device_classmap import band_inputs
from wordmask.dense.loftup import window_inputs
from wordmask_bench.gpu_check.full_bundles import full_folder
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import Figures, attempt

PROVIDER = "CUDAExecutionProvider"
WINDOWS, WORDS, PROMPTS, SIZE = 8, 46, 32, (1200, 1800)
CHOICES: dict[str, dict[str, str]] = {
    "default": {},
    "nhwc": {"prefer_nhwc": "1"},
    "cuda_graph": {"enable_cuda_graph": "1"},
    "without_tf32": {"use_tf32": "0"},
    "heuristic_search": {"cudnn_conv_algo_search": "HEURISTIC"},
}
RUNS, MOST_KERNELS, PROFILED = 15, 12, 5


def options_device(settings: Settings, variant: Variant) -> Figures:
    """Milliseconds of every graph with each choice of options, and the kernels of the first."""
    del variant  # there is no other provider with these options
    bundle = open_bundle(full_folder(settings))
    cases = dict(inputs_of(bundle))
    for choice, options in CHOICES.items():
        for name, (path, inputs) in cases.items():
            yield f"{choice}.{name}", attempt(functools.partial(measure, path, inputs, options, profile=not options))


def inputs_of(bundle: PipelineBundle) -> Iterator[tuple[str, tuple[str, Values]]]:
    """The file of each graph and random inputs of a photo of eight windows: times do not depend on values."""
    random, manifest = np.random.default_rng(0), bundle.manifest
    clip, sam2, loftup = manifest.clip, manifest.sam2, manifest.loftup
    grid = clip.window // clip.patch

    def normal(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape, np.float32)

    def image(rows: int, side: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, (rows, side, side, 3), np.uint8)

    def case(name: str, inputs: Mapping[str, Any]) -> tuple[str, tuple[str, Values]]:
        return name, (str(bundle.path(manifest.graphs[name])), dict(inputs))

    windows = image(WINDOWS, clip.window)
    yield case("clip_image", {"image": windows})
    if loftup is not None:
        fed = window_inputs(windows, (grid, grid), loftup)
        yield case(
            "loftup", {**fed, "features": normal(WINDOWS, clip.dim, grid, grid), "text": normal(WORDS, clip.dim)}
        )
    yield case("sam2_encoder", {"image": image(1, sam2.image_size).astype(np.float32)})
    maps = {
        tensor.name: normal(1, *(int(size) for size in tensor.shape[1:]))
        for tensor in manifest.graphs["sam2_encoder"].outputs
    }
    points = random.uniform(0, sam2.image_size, (PROMPTS, 1, 2)).astype(np.float32)
    yield case("sam2_decoder", {**maps, "point_coords": points, "point_labels": np.ones((PROMPTS, 1), np.int32)})
    corners = [(y, x) for y in (0, 112) for x in (0, 112, 224, 280)]
    logits = normal(WINDOWS, WORDS, clip.window, clip.window)
    bands = band_inputs(logits, corners, (112 + clip.window, 280 + clip.window), range(WORDS), SIZE, 40.0)
    yield "class_map", (str(device_classmap.FILE), next(bands)[1])


def measure(path: str, inputs: Values, options: dict[str, str], *, profile: bool) -> dict[str, Any]:
    """Median of the runs of a graph in a session of its own, and what runs outside the GPU.

    Args:
        path: of the ONNX file.
        inputs: by name.
        options: of the CUDA provider.
        profile: also list the kernels; torch's profiler sees those of the whole process.
    """
    ort = import_onnxruntime()
    settings = session_options(ort, None)
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    start = time.perf_counter()
    session = ort.InferenceSession(path, settings, providers=[(PROVIDER, {"device_id": "0", **options})])
    loaded = time.perf_counter()
    figures: dict[str, Any] = {"load_seconds": loaded - start}
    run = bound(ort, session, inputs)
    run()
    figures["median_ms"] = float(np.median([seconds(run) for _ in range(RUNS)])) * 1000
    figures["elsewhere"] = elsewhere(session)
    return {**figures, **kernels(run)} if profile else figures


def bound(ort: Any, session: Any, inputs: Values) -> Callable[[], object]:
    """A run whose inputs and outputs lie on the GPU, at the same places every time."""
    binding = session.io_binding()  # it keeps what is bound alive
    for name, value in inputs.items():
        binding.bind_ortvalue_input(
            name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(to_host(value)), "cuda", 0)
        )
    names = [output.name for output in session.get_outputs()]
    for name in names:
        binding.bind_output(name, "cuda", 0)
    session.run_with_iobinding(binding)
    for name, value in zip(names, binding.get_outputs(), strict=True):
        binding.bind_ortvalue_output(name, value)
    return functools.partial(session.run_with_iobinding, binding)


def seconds(run: Callable[[], object]) -> float:
    """Of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def elsewhere(session: Any) -> dict[str, int]:
    """How many nodes of each operator another provider runs."""
    found: dict[str, int] = defaultdict(int)
    if hasattr(session, "get_provider_graph_assignment_info"):
        for part in session.get_provider_graph_assignment_info():
            if part.ep_name != PROVIDER:
                for node in part.get_nodes():
                    found[node.op_type] += 1
    return dict(found)


def kernels(run: Callable[[], object]) -> dict[str, Any]:
    """Milliseconds a run that the GPU spends in kernels and copies, in all and by the kernels that take most."""
    from torch.profiler import ProfilerActivity, profile  # noqa: PLC0415

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for _ in range(PROFILED):
            run()
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for event in profiler.events() or ():
        name = event.name[:90]
        spent[name] += event.device_time_total / 1000 / PROFILED
        calls[name] += 1
    most = sorted(spent, key=lambda name: -spent[name])[:MOST_KERNELS]
    return {
        "kernels_ms": sum(spent.values()),
        "launches": sum(calls.values()) / PROFILED,
        "most": {name: f"{spent[name]:.3f} ms in {calls[name] / PROFILED:.0f}" for name in most},
    }
