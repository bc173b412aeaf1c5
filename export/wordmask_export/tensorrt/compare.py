"""`wordmask engines --compare`: cached engines against ONNX Runtime on real photos, by Polygraphy's runners."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.backends.tensorrt.cuda import target_of
from wordmask.bundle.engines import find_engine, read_plan
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import EngineError, MissingExtraError
from wordmask_export.tensorrt.build import Choice
from wordmask_export.tensorrt.real_inputs import Arrays, RealInputs

MakeRunner = Callable[[bytes, int], Any]  # plan and number of the profile -> a Polygraphy runner


@dataclass(frozen=True)
class Agreement:
    """How one output of an engine agrees with ONNX Runtime's.

    Attributes:
        graph: the engine's.
        profile: which bucket.
        output: its name.
        relative_error: |found - expected| / |expected| over all elements.
        worst_row: the same for the row that agrees least: a batch can be wrong where a single input is right.
        largest: greatest absolute difference.
    """

    graph: str
    profile: int
    output: str
    relative_error: float
    worst_row: float
    largest: float


def engine_runner(plan: bytes, profile: int) -> Any:
    """Polygraphy's runner of a plan; needs the GPU."""
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner  # noqa: PLC0415

    return TrtRunner(EngineFromBytes(plan), name="TensorRT", optimization_profile=profile)


def compare(bundle: Path, choice: Choice, *, make_runner: MakeRunner = engine_runner) -> list[Agreement]:
    """Runs the cached engines and the bundle's own graphs in ONNX Runtime on the same real inputs.

    Args:
        bundle: its folder.
        choice: which graphs, precision and GPU.
        make_runner: of an engine.

    Raises:
        EngineError: an engine is missing, does not fit this machine, or gives NaN or infinity.
        MissingExtraError: Polygraphy is not installed.
    """
    manifest, (target, _) = read_manifest(bundle), target_of(choice.gpu)
    real = RealInputs(bundle, manifest)
    found: list[Agreement] = []
    for name in choice.graphs(manifest):
        entry = manifest.graphs[name]
        folder, sidecar = find_engine(bundle, name, entry, choice.precision, target)
        plan = read_plan(folder, sidecar)
        for number, profile in enumerate(sidecar.request.profiles):
            inputs = real.of(name, profile)
            pairs = run_both((bundle / entry.file).read_bytes(), make_runner(plan, number), inputs)
            found += agreements(name, number, pairs)
    return found


def run_both(model: bytes, runner: Any, inputs: Arrays) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Outputs by name: ONNX Runtime's on the CPU, and the runner's."""
    try:
        from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx  # noqa: PLC0415
        from polygraphy.comparator import Comparator  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("wordmask engines --compare", "trt", "polygraphy") from error
    reference = OnnxrtRunner(SessionFromOnnx(model), name="ONNX Runtime")
    results = Comparator.run([reference, runner], data_loader=[inputs])
    expected, found = (iterations[0] for _, iterations in results.items())
    if set(expected) != set(found):
        raise EngineError(f"the engine gives {sorted(found)}, expected {sorted(expected)}; build the engine again")
    return {name: (np.asarray(expected[name]), np.asarray(found[name])) for name in expected}


def agreements(graph: str, profile: int, pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]]) -> Iterator[Agreement]:
    """One for each output.

    Raises:
        EngineError: an output has another shape, or holds NaN or infinity.
    """
    for name, (expected, found) in pairs.items():
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise EngineError(
                f"{graph}, profile {profile}: {name} is {found.shape}, {np.count_nonzero(~np.isfinite(found))} values "
                f"of it not finite; expected {expected.shape}, all finite"
            )
        difference = found.astype(np.float64) - expected
        rows = [_norm_ratio(d, e) for d, e in zip(difference, expected, strict=True)]
        whole, largest = _norm_ratio(difference, expected), float(np.abs(difference).max())
        yield Agreement(graph, profile, name, whole, max(rows), largest)


def _norm_ratio(difference: NDArray[Any], expected: NDArray[Any]) -> float:
    length = float(np.linalg.norm(expected.astype(np.float64)))
    return float(np.linalg.norm(difference)) / max(length, 1e-30)


def show(found: list[Agreement]) -> str:
    """A table of all agreements."""
    rows = [f"{'graph':<16}{'profile':>8}  {'output':<14}{'error':>10}{'worst row':>11}{'largest':>10}"]
    rows += [
        f"{one.graph:<16}{one.profile:>8}  {one.output:<14}{one.relative_error:>10.2g}{one.worst_row:>11.2g}"
        f"{one.largest:>10.2g}"
        for one in found
    ]
    return "\n".join(rows)
