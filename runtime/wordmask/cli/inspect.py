"""`wordmask inspect`: what a bundle holds, and which of its TensorRT engines this machine can use."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Any

from wordmask.bundle.domains import TRAINED_ON
from wordmask.bundle.engines import FOLDER, ROWS, Profile, Sidecar, Target, read_plan, read_sidecar
from wordmask.bundle.manifest import AnyManifest
from wordmask.bundle.manifest_reading import read_any_manifest
from wordmask.bundle.search import find_bundle
from wordmask.errors import DeviceError, EngineError, MissingExtraError

RTX = "rtx-"  # what TensorRT-RTX built; see wordmask.backends.onnxruntime.tensorrt_rtx
FITS = "fits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask inspect`."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="name or folder (default: as `run` finds it)")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask inspect`; gives the exit status."""
    print(describe(find_bundle(args.bundle), json=args.json))
    return 0


@dataclass(frozen=True)
class Machine:
    """This machine's target and GPU, or why they are not known."""

    target: Target | None
    gpu: str
    reason: str = ""


@dataclass(frozen=True)
class Engine:
    """A folder of the cache: its sidecar if it can be read, and whether this machine can use it."""

    key: str
    sidecar: Sidecar | None
    state: str


def describe(folder: Path, *, json: bool) -> str:
    """A bundle, its engines and this machine, as a table or as JSON.

    Raises:
        ManifestError: the folder's manifest cannot be used.
    """
    manifest, machine = read_any_manifest(folder), find_machine()
    found = list(engines(folder, manifest, machine))
    return (as_json if json else as_table)(folder, manifest, machine, found)


def find_machine() -> Machine:
    """What engines must be built for to run here, as far as tensorrt and cuda-python can tell."""
    from wordmask.backends.tensorrt.cuda import target_of

    try:
        target, gpu = target_of(0)
    except (MissingExtraError, DeviceError, EngineError) as error:
        return Machine(None, "", str(error))
    return Machine(target, gpu)


def engines(bundle: Path, manifest: AnyManifest, machine: Machine) -> Iterator[Engine]:
    """All engines of a bundle, those that cannot be used included."""
    for folder in sorted((bundle / FOLDER).glob("[!.]*-*")):
        try:
            sidecar = read_sidecar(folder)
        except EngineError as error:
            yield Engine(folder.name, None, f"unusable: {error}")
            continue
        yield Engine(folder.name, sidecar, _state(folder, sidecar, manifest, machine))


def _state(folder: Path, sidecar: Sidecar, manifest: AnyManifest, machine: Machine) -> str:
    """Whether an engine fits, or the first reason why not."""
    request = sidecar.request
    entry = manifest.graphs.get(request.graph.removeprefix(RTX))
    if entry is None or entry.sha256 != request.onnx_sha256:
        return "stale: of another build of the bundle"
    try:
        read_plan(folder, sidecar)
    except EngineError as error:
        return f"refused: {error}"
    if request.graph.startswith(RTX):
        return f"for --device tensorrt-rtx, {request.target.tensorrt}"
    if machine.target is None:
        return "unknown"
    if request.target.architecture != machine.target.architecture:
        return f"for another GPU: {request.target.architecture}, here is {machine.target.architecture}"
    if request.target.tensorrt != machine.target.tensorrt:
        return f"for another TensorRT: {request.target.tensorrt}, here is {machine.target.tensorrt}"
    return FITS


def as_json(folder: Path, manifest: AnyManifest, machine: Machine, found: list[Engine]) -> str:
    """Everything, for programs."""
    raw: dict[str, Any] = {
        "bundle": str(folder),
        "bundle_id": manifest.bundle_id,
        "domain": manifest.domain,
        "precision": manifest.precision,
        "graphs": {name: asdict(entry) for name, entry in manifest.graphs.items()},
        "machine": asdict(machine),
        "engines": [asdict(engine) for engine in found],
    }
    return dumps(raw, indent=1, ensure_ascii=False)


def as_table(folder: Path, manifest: AnyManifest, machine: Machine, found: list[Engine]) -> str:
    """Everything, for people."""
    lines = [f"{folder}: bundle {manifest.bundle_id}, {manifest.precision}, {TRAINED_ON[manifest.domain]}", ""]
    graphs: list[tuple[str, ...]] = [("graph", "MB", "", "tensor", "type", "shape")]
    for name, entry in manifest.graphs.items():
        tensors = [("in", tensor) for tensor in entry.inputs] + [("out", tensor) for tensor in entry.outputs]
        for number, (way, tensor) in enumerate(tensors):
            head = ("", "") if number else (name, f"{entry.size / 1e6:.1f}")
            graphs.append((*head, way, tensor.name, tensor.dtype, ", ".join(map(str, tensor.shape))))
    lines += [*columns(graphs), ""]
    if machine.target is None:
        lines.append(f"this machine: {machine.reason}")
    else:
        lines.append(f"this machine: {machine.gpu}, {machine.target.architecture}, TensorRT {machine.target.tensorrt}")
    if not found:
        return "\n".join([*lines, f"no TensorRT engines; `wordmask engines {folder}` builds them"])
    rows = [("engine", "precision", "for", "TensorRT", "MB", "buckets", "ranges", "layers", "here")]
    return "\n".join([*lines, "", *columns([*rows, *(_engine_row(engine) for engine in found)])])


def _engine_row(engine: Engine) -> tuple[str, ...]:
    if engine.sidecar is None:
        return (engine.key, *[""] * 7, engine.state)
    sidecar, request = engine.sidecar, engine.sidecar.request
    layers = ", ".join(f"{count} {name}" for name, count in sorted(sidecar.layers.items(), key=lambda item: -item[1]))
    return (
        engine.key,
        request.precision,
        f"{sidecar.gpu} ({request.target.architecture})",
        request.target.tensorrt,
        f"{sidecar.plan.size / 1e6:.1f}",
        show_buckets(request.profiles),
        show_ranges(request.profiles),
        layers,
        engine.state,
    )


def show_buckets(profiles: tuple[Profile, ...]) -> str:
    """Sizes of the rows, such as `N 8/16/32/64`."""
    symbols = sorted({symbol for profile in profiles for symbol in profile if symbol in ROWS})
    return ", ".join(f"{symbol} {'/'.join(str(p[symbol].maximum) for p in profiles)}" for symbol in symbols)


def show_ranges(profiles: tuple[Profile, ...]) -> str:
    """Sizes of the other symbols, such as `C 1..512, H 224`."""
    ranges = {symbol: r for profile in profiles for symbol, r in profile.items() if symbol not in ROWS}
    return ", ".join(
        f"{symbol} {r.minimum}" if r.minimum == r.maximum else f"{symbol} {r.minimum}..{r.maximum}"
        for symbol, r in sorted(ranges.items())
    )


def columns(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows as lines with aligned columns."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
