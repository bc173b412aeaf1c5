"""`wordmask engines --debug DIR`: each graph with real inputs and the Polygraphy line to run on them."""

from __future__ import annotations

import shlex
from pathlib import Path

from wordmask.bundle.engines import Precision, Profile, shape_of
from wordmask.bundle.manifest import GraphEntry
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.errors import MissingExtraError
from wordmask_export.tensorrt.build import Choice, typed_graph
from wordmask_export.tensorrt.profiles import profiles
from wordmask_export.tensorrt.real_inputs import RealInputs

COMMANDS = "commands.txt"
ENDS = (("min", "minimum"), ("opt", "optimum"), ("max", "maximum"))
TOLERANCE: dict[Precision, str] = {"fp32": "1e-3", "fp16": "2e-2", "bf16": "1e-1"}  # of the mean; see docs/engines.md
HEAD = """\
# Compares TensorRT with ONNX Runtime, a line for each graph and bucket. Run them in this folder, on a machine with the
# GPU, TensorRT and ONNX Runtime. A difference: add `--trt-outputs mark all --onnx-outputs mark all` to find the node.
"""


def write_debug(bundle: Path, folder: Path, choice: Choice) -> Path:
    """Writes typed graphs, inputs and command lines; needs neither GPU nor TensorRT.

    Args:
        bundle: its folder.
        folder: where to write; what stands there under the same names is replaced.
        choice: which graphs, sizes and precision.

    Returns:
        The file with the command lines.

    Raises:
        MissingExtraError: Polygraphy is not installed.
        BundleError: the bundle is damaged.
        OSError: the folder cannot be written.
    """
    try:
        from polygraphy.json import save_json  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("wordmask engines --debug", "trt", "polygraphy") from error
    manifest = read_manifest(bundle)
    sizes = profiles(manifest, max_batch=choice.max_batch, max_prompts=choice.max_prompts)
    real = RealInputs(bundle, manifest)
    lines = []
    for name in choice.graphs(manifest):
        entry = manifest.graphs[name]
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "typed.onnx").write_bytes(typed_graph(bundle, name, entry, choice.precision))
        (place / "bundle.onnx").write_bytes((bundle / entry.file).read_bytes())
        for number, profile in enumerate(sizes[name]):
            save_json([real.of(name, profile)], str(place / f"inputs_{number}.json"))
            lines += commands(name, entry, profile, number, choice.precision)
    path = folder / COMMANDS
    path.write_text(HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def commands(name: str, entry: GraphEntry, profile: Profile, number: int, precision: Precision) -> list[str]:
    """The lines that compare a graph's engine with ONNX Runtime for one profile.

    ONNX Runtime has no bf16 on most devices: there it runs the bundle's graph and its outputs are kept for TensorRT.
    """
    inputs, reference = f"{name}/inputs_{number}.json", f"{name}/outputs_{number}.json"
    engine = ["--trt", "--strongly-typed", *_shapes(entry, profile)]
    tolerance = ["--check-error-stat", "mean", "--atol", TOLERANCE[precision], "--rtol", TOLERANCE[precision]]
    run = ["polygraphy", "run"]
    if precision != "bf16":
        whole = [*run, f"{name}/typed.onnx", "--onnxrt", *engine, "--load-inputs", inputs, *tolerance]
        return [shlex.join(whole)]
    first = [*run, f"{name}/bundle.onnx", "--onnxrt", "--load-inputs", inputs, "--save-outputs", reference]
    then = [*run, f"{name}/typed.onnx", *engine, "--load-inputs", inputs, "--load-outputs", reference, *tolerance]
    return [shlex.join(first), shlex.join(then)]


def _shapes(entry: GraphEntry, profile: Profile) -> list[str]:
    """Polygraphy's options for one optimisation profile."""
    dynamic = [tensor for tensor in entry.inputs if any(isinstance(size, str) for size in tensor.shape)]
    options = []
    for short, end in ENDS:
        sizes = {symbol: getattr(bounds, end) for symbol, bounds in profile.items()}
        shapes = [f"{t.name}:[{','.join(map(str, shape_of(t, sizes)))}]" for t in dynamic]
        options += [f"--trt-{short}-shapes", *shapes]
    return options
