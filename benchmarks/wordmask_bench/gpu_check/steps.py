"""The steps of the check on a GPU. Each runs in a process of its own and gives its figures one by one.

A figure that could not be had is {"error": ...}: it fails the step, but not the figures after it.
"""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.search import find_bundle
from wordmask.pipeline import Segmenter
from wordmask.system.limits import processors
from wordmask_bench.gpu_check.cases import compare, load_cases, make_cases, save_cases
from wordmask_bench.gpu_check.chain import agreement, quality, scene_maps
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.quality.scenes import evaluate
from wordmask_bench.scenes import generate
from wordmask_bench.torch_baseline.case import Case

Figures = Iterator[tuple[str, Any]]

# Gross faults alone: TF32 rounds to 1e-3, bf16 to some 1e-2; mixed rows or a wrong layout are above 0.3.
SINGLE_LIMIT, HALF_LIMIT = 2e-2, 0.15


class CheckError(RuntimeError):
    """A step cannot be done; the message says what is missing."""


def attempt(call: Callable[[], Any]) -> Any:
    """What the call gives, or what went wrong."""
    try:
        return call()
    except Exception as error:  # whatever a stage raises must not hide the other stages' figures
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:1000]}


def tiny_reference(settings: Settings) -> Figures:
    """Quality on held-out scenes in ONNX Runtime on the CPU, and what the other devices are compared with."""
    folder = copy_bundle(settings)
    segmenter = Segmenter(folder, device="cpu", threads=1)
    yield "bundle", segmenter.manifest.bundle_id
    workers = processors()
    yield "quality", quality(evaluate(segmenter, settings.seeds, workers=workers))
    maps = scene_maps(segmenter, settings.seeds, workers=workers)
    np.savez(settings.work("tiny_maps.npz"), **cast(dict[str, Any], maps))
    photos = [generate(seed, combinations="test").image for seed in settings.seeds[:2]]
    words = generate(settings.seeds[0], combinations="test").words
    cases = make_cases(segmenter.bundle, photos, words, report_line)
    save_cases(settings.work("tiny_cases.npz"), cases)
    yield "cases", {name: case.rows for name, case in cases.items()}


def tiny_device(settings: Settings, variant: Variant) -> Figures:
    """Engines, every stage, and the whole chain with trained weights."""
    folder = settings.work("tiny")
    need(folder / FILE_NAME, "tiny-reference")
    yield "engines", build(settings, folder, variant)
    segmenter = open_on(folder, variant)
    cases = load_cases(need(settings.work("tiny_cases.npz"), "tiny-reference"), segmenter.bundle)
    for name, case in cases.items():
        yield f"against_cpu.{name}", attempt(partial(checked, name, segmenter, case, variant))
    yield "quality", attempt(lambda: quality(evaluate(segmenter, settings.seeds)))
    with np.load(need(settings.work("tiny_maps.npz"), "tiny-reference")) as stored:
        expected = dict(stored)
    yield "chain_against_cpu", attempt(lambda: agreement(scene_maps(segmenter, settings.seeds), expected))


def copy_bundle(settings: Settings) -> Path:
    """The tiny bundle where engines may be built beside it: in the work folder."""
    folder = settings.work("tiny")
    if not (folder / FILE_NAME).is_file():
        source = find_bundle(settings.tiny)
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("engines"), dirs_exist_ok=True)
    return folder


def build(settings: Settings, folder: Path, variant: Variant) -> Any:
    """Builds what the device needs; gives what was built."""
    if variant.precision is None:
        return None
    from wordmask_export.tensorrt.build import Choice, build_engines  # noqa: PLC0415

    choice = Choice(precision=variant.precision, max_batch=settings.max_batch, max_prompts=settings.max_prompts)
    return {
        engine.sidecar.request.graph: {
            "kept": engine.kept,
            "build_seconds": engine.sidecar.seconds,
            "megabytes": round(engine.sidecar.plan.size / 1e6, 1),
            "layers": engine.sidecar.layers,
        }
        for engine in build_engines(folder, choice, report=report_line)
    }


def open_on(folder: Path, variant: Variant) -> Segmenter:
    """The bundle on the device."""
    return Segmenter(folder, device=variant.device, tensorrt_precision=variant.precision or "fp16")


def checked(name: str, segmenter: Segmenter, case: Case, variant: Variant) -> dict[str, Any]:
    """The figures of `compare`, with_limit."""
    return with_limit(name, compare(name, segmenter.graphs[name], case), variant)


def with_limit(name: str, figures: Mapping[str, float], variant: Variant) -> dict[str, Any]:
    """Figures of a graph, and an error where a relative error is more than rounding."""
    limit = HALF_LIMIT if variant.half else SINGLE_LIMIT
    worst = max(value for key, value in figures.items() if key not in ("class_map_agreement", "worst_mask_iou"))
    if worst <= limit:
        return {**figures}
    return {**figures, "error": f"{name}: relative error {worst:.3g}, more than {limit:g}: that is no rounding"}


def need(path: Path, step: str) -> Path:
    """A file that another step wrote.

    Raises:
        CheckError: it did not.
    """
    if not path.is_file():
        raise CheckError(f"{path.name} is not there: the step {step} has not been done")
    return path


def report_line(text: str) -> None:
    """Progress, for the step's log."""
    print(text, flush=True)  # noqa: T201
