"""The full-size models on one device: every stage against PyTorch, in results, time and memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import wordmask_export
from wordmask.backends import Values, run_to_host
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.opening import open_bundle
from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask_bench.gpu_check.cases import load_cases, make_cases, save_cases
from wordmask_bench.gpu_check.full_bundles import full_folder, make_full, make_half
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import (
    CheckError,
    Figures,
    attempt,
    build,
    checked,
    need,
    open_on,
    report_line,
    with_limit,
)
from wordmask_bench.machine.facts import gpu_megabytes_used
from wordmask_bench.machine.timing import Effort, Times, measure
from wordmask_bench.speed.report import ratios
from wordmask_bench.torch_baseline.case import Arrays, Case
from wordmask_bench.torch_baseline.stages import Eager, Tensors, choice_of, load_chain
from wordmask_export.parity.pipeline import relative_error

TIMED = {  # rows of a run, most telling first
    "loftup": (8, 1),
    "sam2_decoder": (32, 8, 1),
    "clip_image": (8, 1),
    "sam2_encoder": (1,),
    "clip_text": (64,),
}
MAPS = {
    "features": "clip_image",
    "image_embed": "sam2_encoder",
    "high_res_0": "sam2_encoder",
    "high_res_1": "sam2_encoder",
}


EXAMPLES = Path(next(iter(wordmask_export.__path__))) / "data"  # photos that are installed with the package
EXAMPLE_WORDS = ("cat", "cup", "spoon", "table")


def full_reference(settings: Settings) -> Figures:
    """Makes the full-size bundle where none is given, its fp16 form, and what its graphs give on the CPU."""
    folder, half = full_folder(settings), settings.work("full-fp16")
    if not (folder / FILE_NAME).is_file():
        yield "parity", make_full(settings)
    bundle = open_bundle(folder)
    yield "bundle", {"id": bundle.manifest.bundle_id, "models": {k: m.name for k, m in bundle.manifest.models.items()}}
    if bundle.manifest.precision == "fp32" and not half.is_dir():
        make_half(folder, half)
    photos = [decode(path) for path in sorted(EXAMPLES.glob("*.jpg"))]
    cases = make_cases(bundle, photos, list(EXAMPLE_WORDS), report_line)
    save_cases(settings.work("full_cases.npz"), cases)
    yield "cases", {name: case.rows for name, case in cases.items()}


def full_device(settings: Settings, variant: Variant) -> Figures:
    """Engines, every stage against the CPU and PyTorch, times a stage, and memory."""
    cases_file = need(settings.work("full_cases.npz"), "full-reference")
    folder = full_folder(settings)
    yield "engines", build(settings, folder, variant)
    cuda = variant.torch_device == "cuda"
    before = gpu_megabytes_used() if cuda else None
    segmenter = open_on(folder, variant)
    cases = load_cases(cases_file, segmenter.bundle)
    for name in TIMED:
        if name in cases:
            case = cases[name]
            yield f"against_cpu.{name}", attempt(functools.partial(checked, name, segmenter, case, variant))
    after = gpu_megabytes_used() if cuda else None
    if before is not None and after is not None:
        yield "memory.engine_mb", round(after - before)
    choice = choice_of(segmenter.manifest, clip=_configuration(settings.clip), sam2=_configuration(settings.sam2))
    chain = load_chain(choice, segmenter.manifest, variant.torch_device)
    eager, half = Eager(chain), Eager(chain, half=True)
    for name, rows in TIMED.items():
        if name not in cases:
            continue
        if not settings.from_skeleton:  # those weights are PyTorch's only by their distribution
            compared = functools.partial(against_pytorch, name, segmenter, eager, cases[name], variant)
            yield f"against_pytorch.{name}", attempt(compared)
        for count in rows:
            timed = functools.partial(time_stage, name, segmenter, (eager, half), cases, count, settings.effort)
            yield f"times.{name}.{count}", attempt(timed)
    if cuda:
        yield "memory.pytorch_mb", _torch_peak()


def _configuration(name: str) -> str | None:
    """A model's configuration file; None for a name, which the manifest has too."""
    return name if name.endswith((".json", ".yaml")) else None


def against_pytorch(name: str, segmenter: Segmenter, eager: Eager, case: Case, variant: Variant) -> dict[str, Any]:
    """Relative error of each output against PyTorch in fp32, whose rows are fed alone."""
    expected = eager.alone(name, case)
    found = run_to_host(segmenter.graphs[name], case.inputs)
    figures: dict[str, Any] = {key: relative_error(found[key], value) for key, value in expected.items()}
    return with_limit(name, figures, variant)


def time_stage(
    name: str, segmenter: Segmenter, sides: tuple[Eager, Eager], cases: Mapping[str, Case], rows: int, effort: Effort
) -> dict[str, Any]:
    """Milliseconds of a batch: engine, PyTorch in fp32 and PyTorch under autocast, in turn.

    As in the chain, CLIP's features and SAM2's maps stay on the device and all else comes from and goes to the host,
    on either side.
    """
    if cases[name].rows < rows:
        raise CheckError(f"{name}: the case has {cases[name].rows} rows, {rows} are to be timed")
    case = cases[name].take(rows)
    graph, kept = segmenter.graphs[name], tuple(key for key in case.expected if key in MAPS)
    fed = _resident(segmenter, cases, case)
    contenders: dict[str, Callable[[], object]] = {"engine": lambda: graph.run(fed, keep=kept)}
    for label, side in zip(("pytorch_fp32", "pytorch_autocast"), sides, strict=True):
        maps = side.upload({key: value for key, value in case.inputs.items() if key in MAPS})
        rest = {key: value for key, value in case.inputs.items() if key not in MAPS}
        contenders[label] = functools.partial(_eager_stage, side, name, maps, rest)
    return with_ratios(measure(contenders, effort, cuda=sides[0].chain.device.type == "cuda"))


def _resident(segmenter: Segmenter, cases: Mapping[str, Case], case: Case) -> Values:
    """The case's inputs, those that the chain leaves on the device computed and left there."""
    fed: dict[str, Any] = dict(case.inputs)
    for producer in dict.fromkeys(MAPS[key] for key in fed if key in MAPS):
        names = [key for key in fed if MAPS.get(key) == producer]
        source = cases[producer].take(len(case.inputs[names[0]]))
        kept = segmenter.graphs[producer].run(source.inputs, keep=tuple(names))
        fed |= {key: kept[key] for key in names}
    return fed


def _eager_stage(side: Eager, name: str, maps: Tensors, rest: Arrays) -> None:
    outputs = side.compute(name, {**maps, **side.upload(rest)})
    for key, value in outputs.items():
        if key not in MAPS:
            value.float().cpu().numpy()


def with_ratios(times: dict[str, Times]) -> dict[str, Any]:
    """The times, and how many times faster than PyTorch the engine is by the medians."""
    figures: dict[str, Any] = {label: asdict(value) for label, value in times.items()}
    return figures | {f"{label}_over_engine": ratio for label, ratio in ratios(times, ["engine"])["engine"].items()}


def _torch_peak() -> int:
    """Megabytes that torch held at most: models, both precisions, all stages and the photo."""
    import torch  # noqa: PLC0415

    return round(torch.cuda.max_memory_reserved() / 1e6)
