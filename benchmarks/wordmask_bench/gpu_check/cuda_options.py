"""Each full-size graph under the options of ONNX Runtime's CUDA provider, and the kernels that its time goes to.

Inputs and outputs stay on the GPU, so that the figures are those of the graph alone.
"""

from __future__ import annotations

import functools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from wordmask.backends.onnxruntime.graph import import_onnxruntime, session_options
from wordmask.bundle.opening import open_bundle
from wordmask_bench.gpu_check.cases import load_cases
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import Figures, attempt, full_folder, need
from wordmask_bench.torch_baseline.case import Case

PROVIDER = "CUDAExecutionProvider"
ROWS = {"loftup": 8, "sam2_encoder": 1, "clip_image": 8, "sam2_decoder": 32}
CHOICES: dict[str, dict[str, str]] = {
    "default": {},
    "without_tf32": {"use_tf32": "0"},
    "nhwc": {"prefer_nhwc": "1"},
    "cuda_graph": {"enable_cuda_graph": "1"},
    "heuristic_search": {"cudnn_conv_algo_search": "HEURISTIC"},
}
RUNS, MOST_KERNELS, PROFILED = 15, 12, 5


def options_device(settings: Settings, variant: Variant) -> Figures:
    """Milliseconds of every graph with each choice of options, and the kernels of the first."""
    del variant  # there is no other provider with these options
    bundle = open_bundle(full_folder(settings))
    cases = load_cases(need(settings.work("full_cases.npz"), "full-reference"), bundle)
    for choice, options in CHOICES.items():
        for name, rows in ROWS.items():
            case = cases[name].take(rows)
            path = str(bundle.path(bundle.manifest.graphs[name]))
            yield f"{choice}.{name}", attempt(functools.partial(measure, path, case, options, profile=not options))


def measure(path: str, case: Case, options: dict[str, str], *, profile: bool) -> dict[str, Any]:
    """Median of the runs of a graph in a session of its own, and what runs outside the GPU.

    Args:
        path: of the ONNX file.
        case: its inputs.
        options: of the CUDA provider.
        profile: also list the kernels; torch's profiler sees those of the whole process.
    """
    ort = import_onnxruntime()
    settings = session_options(ort, None)
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    start = time.perf_counter()
    session = ort.InferenceSession(path, settings, providers=[(PROVIDER, {"device_id": "0", **options})])
    loaded = time.perf_counter()
    run = bound(ort, session, case)
    figures: dict[str, Any] = {"load_seconds": loaded - start, "first_run_seconds": seconds(run)}
    run()
    figures["median_ms"] = float(np.median([seconds(run) for _ in range(RUNS)])) * 1000
    figures["elsewhere"] = elsewhere(session)
    return {**figures, **kernels(run)} if profile else figures


def bound(ort: Any, session: Any, case: Case) -> Callable[[], object]:
    """A run whose inputs and outputs lie on the GPU, at the same places every time."""
    binding = session.io_binding()  # it keeps what is bound alive
    for name, value in case.inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(value), "cuda", 0))
    for name, expected in case.expected.items():  # single precision, whatever a graph computes in
        shape = list(expected.shape)
        binding.bind_ortvalue_output(name, ort.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cuda", 0))
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
