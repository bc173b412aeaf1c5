"""Builds a bundle: load models, export graphs, compare them with PyTorch, write the manifest, move into place."""

from __future__ import annotations

import dataclasses
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import open_clip

from wordmask.bundle.manifest import SCHEMA, FeaturesManifest, GraphEntry, Manifest
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask_export.graphs import specs as graphs
from wordmask_export.graphs.onnx_export import Spec, describe, export
from wordmask_export.models import pipeline
from wordmask_export.models.messages import log
from wordmask_export.parity.pipeline import Figure, Parity
from wordmask_export.precision.half_weights import round_weights, shrink
from wordmask_export.precision.policy import convert
from wordmask_export.progress import COMPARE, EXPORT, Progress
from wordmask_export.unfinished import Done, TargetError, Unfinished, fingerprint, unfinished

Precision = Literal["fp32", "fp16"]
Domain = Literal["photos", "synthetic", "random"]
Made = TypeVar("Made", Manifest, FeaturesManifest)
MERGES = "bpe_simple_vocab_16e6.txt.gz"


class BuildError(RuntimeError):
    """The outputs of a graph differ too much from its model's."""


@dataclass(frozen=True)
class SummaryRow:
    """A graph's row in the summary: size in bytes, figures, and seconds for export and comparison."""

    graph: str
    size: int
    figures: tuple[Figure, ...]
    seconds: float


def build(
    out: Path,
    choice: pipeline.Choice,
    protocol: graphs.Protocol,
    *,
    precision: Precision = "fp32",
    half_weights: bool = False,
    domain: Domain = "photos",
    force: bool = False,
    report: Callable[[str], None] = log,
) -> Manifest:
    """Builds a bundle in the folder `out`.

    Files are written to the folder OUT.unfinished, which is renamed at the end, so an interrupted or failed build
    leaves nothing under the final name. The same build, started again, goes on with the graphs that are finished.

    Args:
        out: must not exist unless force is given.
        choice: models and weights.
        protocol: windows and sizes.
        precision: fp32 or fp16.
        half_weights: round the weights to half precision and store them so; the arithmetic is that of `precision`.
        domain: what the weights were trained on; with random weights the manifest has `random`.
        force: replace an existing bundle.
        report: takes messages about the progress, and the summary.

    Raises:
        TargetError: `out` exists and must not be replaced.
        BuildError: a figure exceeds its limit.
        WeightsError: weights are missing or do not fit.
    """

    def make(work: Unfinished) -> tuple[Manifest, list[SummaryRow]]:
        report("loading the models")
        loaded = pipeline.load(choice)
        configurations = [describe(Path(name)) for name in (choice.clip, choice.sam2) if Path(name).is_file()]
        settings = (choice, configurations, protocol, precision, half_weights, loaded.entries, pipeline.tool_versions())
        if half_weights:
            for module in (loaded.clip, loaded.loftup, loaded.sam2):
                if module is not None:
                    round_weights(module)
        progress = begin(work, fingerprint(*settings), graphs.parameters(loaded, protocol), report)
        entries = export_all(work, graphs.specs(loaded, protocol), precision, half_weights, progress)
        trained_on = "random" if choice.seed is not None else domain
        manifest = _manifest(work.folder, loaded, protocol, entries, precision, trained_on)
        parity = Parity(work.folder, manifest, loaded, protocol)
        return manifest, compare_all(work, parity.figures, entries, progress)

    return write_bundle(out, make, force=force, report=report)


def write_bundle(
    out: Path,
    make: Callable[[Unfinished], tuple[Made, list[SummaryRow]]],
    *,
    force: bool,
    report: Callable[[str], None],
) -> Made:
    """Writes a bundle by way of the folder OUT.unfinished; see build.

    Args:
        out: the bundle's folder.
        make: writes the graphs into a folder; returns the manifest without parity figures, and the summary's rows.
        force: replace an existing bundle.
        report: takes the summary.

    Returns:
        The written manifest.
    """
    _check_target(out, force)
    started = time.perf_counter()
    out.parent.mkdir(parents=True, exist_ok=True)
    with unfinished(out) as work:
        try:
            manifest, lines = make(work)
        except BaseException:
            if work.done:
                report(f"{work.folder} keeps {len(work.done)} finished graphs: the same command goes on with them")
            raise
        parity = {figure.name: figure.value for line in lines for figure in line.figures}
        manifest = dataclasses.replace(manifest, parity=parity)
        report(summary(lines, time.perf_counter() - started))
        missed = [figure for line in lines for figure in line.figures if not figure.ok]
        if missed:
            work.done.clear()
            named = "; ".join(f"{f.name} is {f.value:.3g}, the limit is {f.limit:g}" for f in missed)
            raise BuildError(f"the graphs do not compute what the models compute: {named}. Nothing was written")
        (work.folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    report(f"{out}: bundle {manifest.bundle_id}")
    return manifest


def _check_target(out: Path, force: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / FILE_NAME).is_file():
        raise TargetError(f"{out} exists and is no bundle: it will not be replaced, choose another folder")
    if not force:
        raise TargetError(f"{out} exists: --force replaces it")


def begin(work: Unfinished, build: str, parameters: Mapping[str, int], report: Callable[[str], None]) -> Progress:
    """Takes up what an earlier start of this build finished; gives the progress of the rest.

    Args:
        work: the build's folder.
        build: a fingerprint.
        parameters: numbers of parameters by the graphs' names.
        report: takes the messages about the progress.
    """
    progress = Progress(parameters, report)
    if names := work.begin(build):
        report(f"an earlier start of this build finished {', '.join(names)}: going on with that")
    for name, item in work.done.items():
        progress.skip(EXPORT, name)
        if item.figures is not None:
            progress.skip(COMPARE, name)
    return progress


def export_all(
    work: Unfinished, specs: Iterator[Spec], precision: Precision, half_weights: bool, progress: Progress
) -> dict[str, GraphEntry]:
    """Writes the graphs that are not there yet; returns the manifest's entries of all."""
    entries = dict[str, GraphEntry]()
    for spec in specs:
        if spec.name not in work.done:
            start = time.perf_counter()
            with progress.step(EXPORT, spec.name):
                path = work.folder / export(spec, work.folder).file
                if precision == "fp16":
                    convert(path, spec.name, precision)
                if half_weights:
                    shrink(path)
            work.add(spec.name, Done(describe(path), time.perf_counter() - start))
        file = work.done[spec.name].file
        entries[spec.name] = GraphEntry(**dataclasses.asdict(file), inputs=spec.inputs, outputs=spec.outputs)
    return entries


def _manifest(
    work: Path,
    loaded: pipeline.Models,
    protocol: graphs.Protocol,
    entries: dict[str, GraphEntry],
    precision: Precision,
    domain: Domain,
) -> Manifest:
    """The manifest, still without parity figures; copies CLIP's byte-pair merges from open_clip into the bundle."""
    merges = Path(shutil.copyfile(Path(open_clip.__file__).parent / MERGES, work / MERGES))
    return Manifest(
        schema=SCHEMA,
        bundle_id="",
        domain=domain,
        precision=precision,
        graphs=entries,
        models=loaded.entries,
        clip=graphs.clip_constants(loaded, protocol, describe(merges)),
        loftup=graphs.loftup_constants(loaded.loftup) if loaded.loftup else None,
        sam2=graphs.sam2_constants(loaded),
        tools=pipeline.tool_versions(),
    ).sealed()


def compare_all(
    work: Unfinished, measure: Callable[[str], list[Figure]], entries: Mapping[str, GraphEntry], progress: Progress
) -> list[SummaryRow]:
    """Measures each graph that is not measured yet; returns the rows of the summary."""
    lines = []
    for name, entry in entries.items():
        item = work.done[name]
        if item.figures is None:
            start = time.perf_counter()
            with progress.step(COMPARE, name):
                figures = tuple(measure(name))
            item = Done(item.file, item.seconds + time.perf_counter() - start, figures)
            work.add(name, item)
        lines.append(SummaryRow(name, entry.size, item.figures or (), item.seconds))
    return lines


def summary(lines: list[SummaryRow], seconds: float) -> str:
    """The table printed at the end of a build."""
    rows = [f"{'graph':<16}{'MB':>8}{'seconds':>9}  figures (limit)"]
    for line in lines:
        shown = ", ".join(_show(figure) for figure in line.figures)
        rows.append(f"{line.graph:<16}{line.size / 1e6:>8.1f}{line.seconds:>9.1f}  {shown}")
    total = sum(line.size for line in lines) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    rows.append(f"{'all':<16}{total:>8.1f}{seconds:>9.1f}  peak memory {peak:.1f} GiB")
    return "\n".join(rows)


def _show(figure: Figure) -> str:
    name = figure.name.partition(".")[2].replace("_", " ")
    limit = "" if figure.limit is None else f" ({'>=' if figure.at_least else '<='} {figure.limit:g})"
    return f"{name} {figure.value:.2g}{limit}" if not figure.at_least else f"{name} {figure.value:.4f}{limit}"
