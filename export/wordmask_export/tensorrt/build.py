"""Builds the TensorRT engines of a bundle for this machine's GPU, or keeps those that are there."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wordmask.backends.tensorrt.cuda import Gpu, target_of
from wordmask.bundle.engines import PLAN, SCHEMA, Precision, Request, Sidecar, Target, read_plan
from wordmask.bundle.file_checks import check_file
from wordmask.bundle.manifest import File, GraphEntry, Manifest
from wordmask.bundle.manifest_reading import read_manifest
from wordmask_export.tensorrt.api import EngineBuildError, usable_tensorrt
from wordmask_export.tensorrt.cache import Log, locked, read_timing, remove_stale, store, up_to_date, write_timing
from wordmask_export.tensorrt.compiler import compile_network, verify
from wordmask_export.tensorrt.profiles import profiles

ON_CPU = "loftup_cpu"  # a form that a GPU gains nothing from
UNUSED = "loftup_features"  # the runtime does not load it: LoftUp's weights once more, for those who want features


def print_progress(text: str) -> None:
    """To stderr, as a report."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


@dataclass(frozen=True)
class Choice:
    """What engines to build.

    Attributes:
        precision: of weights and arithmetic.
        max_batch: windows in the largest batch.
        max_prompts: SAM2 prompts in the largest batch.
        features: also the graphs that the runtime does not load.
        workspace: most bytes of GPU memory a layer may use; None leaves that to TensorRT.
        gpu: CUDA's number of the GPU.
        prune: removes this GPU's engines for other versions of TensorRT.
    """

    precision: Precision = "fp16"
    max_batch: int = 10
    max_prompts: int = 64
    features: bool = False
    workspace: int | None = None
    gpu: int = 0
    prune: bool = False

    def graphs(self, manifest: Manifest) -> list[str]:
        """Names of the graphs that get an engine."""
        return [name for name in manifest.graphs if name != ON_CPU and (self.features or name != UNUSED)]


@dataclass(frozen=True)
class Built:
    """An engine that stands in the cache now; `kept` if it already did."""

    folder: Path
    sidecar: Sidecar
    kept: bool


def build_engines(bundle: Path, choice: Choice, *, report: Log = print_progress) -> list[Built]:
    """Builds what is missing or out of date, one engine a graph; other processes wait.

    An engine appears whole or not at all. What was finished before a failure stays.

    Args:
        bundle: its folder.
        choice: what to build.
        report: is told of progress, and of the summary at the end.

    Raises:
        MissingExtraError: TensorRT or cuda-python is not installed.
        DeviceError: there is no such GPU.
        BundleError: the bundle, or a graph of it, is damaged.
        EngineBuildError: TensorRT could not build an engine, or the cache is not this user's.
        ValueError: a size is not positive.
        OSError: the cache cannot be written.
    """
    manifest = read_manifest(bundle)
    sizes = profiles(manifest, max_batch=choice.max_batch, max_prompts=choice.max_prompts)
    target, gpu = find_target(choice.gpu)
    report(f"engines for {gpu} ({target.architecture}), TensorRT {target.tensorrt}")
    built = []
    with locked(bundle, report) as engines:
        for name in choice.graphs(manifest):
            request = Request(name, manifest.graphs[name].sha256, choice.precision, sizes[name], target)
            built.append(_keep_or_build(bundle, engines, manifest.graphs[name], request, gpu, choice, report))
            for key in remove_stale(bundle, request, prune=choice.prune):
                report(f"removed {key}, which this replaces")
    report(summary(built))
    return built


def _keep_or_build(
    bundle: Path,
    engines: Path,
    entry: GraphEntry,
    request: Request,
    gpu: str,
    choice: Choice,
    report: Log,
) -> Built:
    stop = threading.Event()
    with ThreadPoolExecutor(1, "tensorrt") as pool:  # off the main thread, so that signals are answered
        working = pool.submit(
            lambda: (
                _kept(engines, entry, request, choice, report)
                or _build(bundle, engines, entry, request, gpu, choice, report, stop)
            )
        )
        try:
            return working.result()
        finally:
            stop.set()


def _kept(engines: Path, entry: GraphEntry, request: Request, choice: Choice, report: Log) -> Built | None:
    """The engine that stands there, if it is up to date and TensorRT takes it: a driver may have changed since."""
    sidecar, folder = up_to_date(engines, request), engines / request.key
    if sidecar is None:
        return None
    Gpu(choice.gpu)  # TensorRT loads for this thread's current GPU
    try:
        verify(read_plan(folder, sidecar), entry, request.profiles, lambda line: None)
    except EngineBuildError as error:
        report(f"{request.graph}: is built again, once ({error})")
        return None
    report(f"{request.graph}: up to date")
    return Built(folder, sidecar, kept=True)


def _build(
    bundle: Path,
    engines: Path,
    entry: GraphEntry,
    request: Request,
    gpu: str,
    choice: Choice,
    report: Log,
    stop: threading.Event,
) -> Built:
    report(f"building {request.graph}")
    start = time.perf_counter()
    lines: list[str] = []
    Gpu(choice.gpu)  # TensorRT builds for this thread's current GPU
    compiled = compile_network(
        typed_graph(bundle, request.graph, entry, request.precision),
        entry,
        request.profiles,
        timing_cache=read_timing(engines),
        log=lines.append,
        workspace=choice.workspace,
        precision=request.precision,
        cancelled=stop.is_set,
    )
    verify(compiled.plan, entry, request.profiles, lines.append)
    plan = File(PLAN, hashlib.sha256(compiled.plan).hexdigest(), len(compiled.plan))
    seconds = round(time.perf_counter() - start, 3)
    sidecar = Sidecar(SCHEMA, request, plan, gpu, compiled.layers, seconds)
    if stop.is_set():
        raise EngineBuildError(f"{entry.file}: cancelled")
    folder = store(engines, sidecar, compiled.plan, "\n".join(lines) + "\n")
    write_timing(engines, compiled.timing_cache)
    return Built(folder, sidecar, kept=False)


def typed_graph(bundle: Path, name: str, entry: GraphEntry, precision: Precision) -> bytes:
    """The strongly typed ONNX of a graph, from the file whose hash the manifest names.

    Raises:
        BundleError: the file is missing, is another one, or reaches beyond itself.
    """
    import onnx  # noqa: PLC0415

    from wordmask_export.precision.policy import typed  # noqa: PLC0415

    path = bundle / entry.file
    check_file(path, entry)
    model: bytes = typed(onnx.load_model_from_string(path.read_bytes()), name, precision).SerializeToString()
    return model


def summary(built: list[Built]) -> str:
    """The table that ends a build."""
    rows = [f"{'graph':<16}{'MB':>8}{'seconds':>9}  layers"]
    for one in built:
        sidecar = one.sidecar
        seconds = "kept" if one.kept else f"{sidecar.seconds:.1f}"
        layers = show_layers(sidecar.layers)
        rows.append(f"{sidecar.request.graph:<16}{sidecar.plan.size / 1e6:>8.1f}{seconds:>9}  {layers}")
    return "\n".join(rows)


def show_layers(layers: dict[str, int]) -> str:
    """Layers by type, most frequent first."""
    return ", ".join(f"{count} {name}" for name, count in sorted(layers.items(), key=lambda item: -item[1]))


def find_target(number: int) -> tuple[Target, str]:
    """This machine's target, before anything slow is begun; see wordmask.backends.tensorrt.cuda.target_of."""
    usable_tensorrt()
    return target_of(number)
