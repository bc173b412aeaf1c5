"""Writes a bundle as a model repository of an NVIDIA Triton server.

    OUT/wordmask/config.pbtxt, 1/{model.py, manifest.json, serving.json, the tokenizer's merges}
    OUT/wordmask_clip_image/config.pbtxt, 1/model.onnx or 1/model.plan
    OUT/wordmask_clip_text/... and so on

The Python model holds no code of its own: it imports wordmask, which has to be installed where the server runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from wordmask.bundle.engines import Precision, Profile, Target, find_engine, read_plan
from wordmask.bundle.manifest import HALO, GraphEntry, Manifest
from wordmask.bundle.manifest_reading import FILE_NAME as MANIFEST
from wordmask.bundle.opening import PipelineBundle
from wordmask.errors import OutputError, ReadError
from wordmask.loading import STAGES
from wordmask.system.files import atomic_folder, copy_file
from wordmask.text.embedder import BATCH as PROMPTS_OF_WORDS
from wordmask.triton.config_pbtxt import FILES, Backend, Kind, batch_symbol, chain_config, graph_config
from wordmask.triton.serving_json import FILE_NAME as SETTINGS
from wordmask.triton.serving_json import SCHEMA, Served, Serving

VERSION = "1"
CONFIG, MODEL = "config.pbtxt", "model.py"
MODEL_PY = '''"""Answers requests with the chain of wordmask; see wordmask.triton.python_model."""

from wordmask.triton.python_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Layout:
    """How a bundle is served.

    Attributes:
        name: of the Python model; the graphs' models are named after it.
        on_cpu: the processor runs the graphs; else every GPU that the server sees has them.
        max_batch: most windows, or photos, that the server joins in a batch.
        instances: copies of each graph a GPU, or on the processor.
        workers: processes of the Python model.
        in_flight: photos under way at once in each of them.
    """

    name: str = "wordmask"
    on_cpu: bool = False
    max_batch: int = 8
    instances: int = 1
    workers: int = 4
    in_flight: int = 2

    def __post_init__(self) -> None:
        for field in ("max_batch", "instances", "workers", "in_flight"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}: it must be at least 1")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}: give letters, digits, _, - and . (it becomes a folder)")


@dataclass(frozen=True)
class EngineChoice:
    """Which of the bundle's TensorRT engines are served."""

    precision: Precision
    target: Target


@dataclass(frozen=True)
class _Source:
    """A graph's file, in memory where it is an engine that was checked, and the engine's profiles."""

    entry: GraphEntry
    backend: Backend
    content: Path | bytes
    profiles: tuple[Profile, ...]


def write_repository(bundle: PipelineBundle, out: Path, layout: Layout, engines: EngineChoice | None = None) -> Serving:
    """Writes a bundle's repository: all of it, or nothing.

    Args:
        bundle: its files are checked already.
        out: a folder that does not exist, or is empty.
        layout: see Layout.
        engines: serve these instead of the ONNX graphs.

    Raises:
        EngineError: the bundle has no such engine of a graph, or it must not be trusted.
        OutputError: out is there already, or cannot be written.
        ReadError: a file of the bundle cannot be read any more.
    """
    sources = dict(_sources(bundle, layout, engines))
    served = {name: _served(name, source, layout) for name, source in sources.items()}
    serving = Serving(SCHEMA, served, layout.on_cpu, layout.in_flight, layout.workers)
    try:
        if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
            raise OutputError(f"{out}: is there already; give a folder that does not exist, or remove it")
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(out) as work:
            _write_chain(work, bundle, layout, serving)
            for name, source in sources.items():
                _write_graph(work, bundle.manifest, layout, source, served[name])
    except OSError as error:
        if isinstance(error, OutputError | ReadError):
            raise
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error
    return serving


def _sources(bundle: PipelineBundle, layout: Layout, engines: EngineChoice | None) -> Iterator[tuple[str, _Source]]:
    graphs = bundle.manifest.graphs
    for name in STAGES:
        if name not in graphs:  # a bundle without LoftUp
            continue
        entry = graphs[name]
        if engines is None:
            entry = graphs.get(f"{name}_cpu", entry) if layout.on_cpu else entry
            yield name, _Source(entry, "onnxruntime", bundle.path(entry), ())
        else:
            folder, sidecar = find_engine(bundle.folder, name, entry, engines.precision, engines.target)
            yield name, _Source(entry, "tensorrt", read_plan(folder, sidecar), sidecar.request.profiles)


def _served(name: str, source: _Source, layout: Layout) -> Served:
    batches = batch_symbol(source.entry) and not source.profiles
    return Served(f"{layout.name}_{name}", _rows(source.entry, layout) if batches else None, source.profiles)


def _rows(entry: GraphEntry, layout: Layout) -> int:
    """Most rows of a batch: of the text tower what the runtime sends at once, else the layout's."""
    return PROMPTS_OF_WORDS if batch_symbol(entry) == "T" else layout.max_batch


def _write_chain(out: Path, bundle: PipelineBundle, layout: Layout, serving: Serving) -> None:
    manifest = bundle.manifest
    config = chain_config(layout.name, workers=layout.workers, in_flight=layout.in_flight)
    folder = _model_folder(out, layout.name, config)
    (folder / MODEL).write_text(MODEL_PY, encoding="utf-8")
    (folder / SETTINGS).write_text(serving.to_json(), encoding="utf-8")
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    copy_file(bundle.path(manifest.clip.merges), folder / manifest.clip.merges.file)


def _write_graph(out: Path, manifest: Manifest, layout: Layout, source: _Source, served: Served) -> None:
    kind: Kind = "KIND_CPU" if layout.on_cpu else "KIND_GPU"
    config = graph_config(
        served.model,
        source.entry,
        source.backend,
        kind,
        rows=_rows(source.entry, layout),
        instances=layout.instances,
        profiles=source.profiles,
        warm_up=_warm_up(manifest, source),
    )
    target = _model_folder(out, served.model, config) / FILES[source.backend]
    if isinstance(source.content, bytes):
        target.write_bytes(source.content)
    else:
        copy_file(source.content, target)


def _model_folder(out: Path, model: str, config: str) -> Path:
    """Makes a model's folder; gives that of its version."""
    folder = out / model / VERSION
    folder.mkdir(parents=True)
    (folder.parent / CONFIG).write_text(config, encoding="utf-8")
    return folder


def _warm_up(manifest: Manifest, source: _Source) -> list[Mapping[str, int]]:
    """Sizes of warm-up runs: an engine's profiles at their best; a graph once, at the sizes a single photo has."""
    if source.profiles:
        return [{symbol: size.optimum for symbol, size in profile.items()} for profile in source.profiles]
    clip = manifest.clip
    grid = clip.window // clip.patch
    halo = clip.window + 2 * HALO
    usual = {"B": 1, "N": 1, "P": 1, "T": 1, "L": 16, "C": 32, "h": grid, "w": grid, "h*w": grid * grid}
    usual |= {"H+4": halo, "W+4": halo}
    symbols = {size for tensor in source.entry.inputs for size in tensor.shape if isinstance(size, str)}
    return [{symbol: usual[symbol] for symbol in sorted(symbols)}]
