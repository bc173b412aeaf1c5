"""A whole photo, from its file to the written masks: wordmask in fp32 and fp16 against PyTorch's chain, in turn.

Both sides have the same windows, words, prompts and checks of masks, as in `wordmask bench`. TF32 is the same too:
products and convolutions in fp32 may be rounded to it, as ONNX Runtime's CUDA provider does by default.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wordmask.photo.reading import decode
from wordmask.types import Prompt
from wordmask_bench.gpu_check.full_bundles import WORDS, full_bundles, setup_of
from wordmask_bench.gpu_check.plan import Settings, Variant
from wordmask_bench.gpu_check.steps import Figures, attempt, build
from wordmask_bench.machine.timing import Effort, measure
from wordmask_bench.speed.agreement import Answers, equal_pixels, mask_ious
from wordmask_bench.speed.report import ratios
from wordmask_bench.speed.side import Side, grid_prompts
from wordmask_bench.speed.side import Variant as SideVariant
from wordmask_bench.speed.torch_side import EagerSide
from wordmask_bench.speed.wordmask_side import WordmaskSide

STAGE_RUNS = 5


def photo_device(settings: Settings, variant: Variant) -> Figures:
    """Milliseconds of a photo and its stages, and how far the results agree."""
    return _against(settings, variant, ("eager", "autocast"))


def compile_device(settings: Settings, variant: Variant) -> Figures:
    """The same against PyTorch with torch.compile, which takes longest to start."""
    return _against(settings, variant, ("compile",))


def _against(settings: Settings, variant: Variant, baselines: tuple[SideVariant, ...]) -> Figures:
    cuda = variant.torch_device == "cuda"
    allow_tf32()
    yield "tf32", "allowed on both sides" if cuda else "not on a processor"
    path = settings.timed_photo()
    picture = decode(path)
    size = (picture.shape[0], picture.shape[1])
    prompts = grid_prompts(size, settings.max_prompts, WORDS)
    yield "photo", {"size": f"{size[1]}x{size[0]}", "prompts": len(prompts), "words": WORDS}
    with tempfile.TemporaryDirectory(prefix="wordmask-photo-") as work:
        engines: dict[str, Side] = {}
        for precision, folder in full_bundles(settings, variant).items():
            yield f"engines.{precision}", build(settings, folder, variant)
            engines[precision] = WordmaskSide(setup_of(settings, variant, folder))
            engines[precision].words(Path(work) / f"{precision}.npy")
        first, folder = next(iter(full_bundles(settings, variant).items()))
        sides = dict(engines)
        for baseline in baselines:
            sides[baseline] = EagerSide(setup_of(settings, variant, folder, baseline))
            sides[baseline].words(Path(work) / f"{first}.npy")
        runs = {name: functools.partial(side.photo, path, prompts, Path(work) / name) for name, side in sides.items()}
        count = min(STAGE_RUNS, settings.effort.runs)
        yield "stages_ms", {name: stages(runs[name], count) for name in engines}
        yield "times", attempt(functools.partial(timed, runs, list(engines), settings.effort, cuda=cuda))
        if "eager" in sides and not settings.from_skeleton:
            for name, side in engines.items():
                compared = functools.partial(agreement, side, sides["eager"], path, prompts)
                yield f"agreement.{name}", attempt(compared)


def allow_tf32() -> None:
    """Lets PyTorch round fp32 products and convolutions to TF32."""
    import torch  # noqa: PLC0415

    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = True


def stages(run: Callable[[], dict[str, float]], count: int) -> dict[str, float]:
    """Milliseconds of each stage, medians of so many runs."""
    run()  # chooses convolutions, allocates
    found = [run() for _ in range(count)]
    return {name: round(float(np.median([each[name] for each in found])) * 1000, 2) for name in found[0]}


def timed(
    contenders: Mapping[str, Callable[[], object]], engines: list[str], effort: Effort, *, cuda: bool
) -> dict[str, Any]:
    """Milliseconds of every contender, which run in turn, and how many times faster than the others the engines are."""
    times = measure(contenders, effort, cuda=cuda)
    return {
        "median_ms": {name: value.median_ms for name, value in times.items()},
        "p95_ms": {name: value.p95_ms for name, value in times.items()},
        "runs": min(value.runs for value in times.values()),
        "ratios": ratios(times, engines),
    }


def agreement(side: Side, eager: Side, path: Path, prompts: Sequence[Prompt]) -> dict[str, float]:
    """Share of equal pixels of the class maps, and IoU of the masks, before any is replaced by a smooth one."""
    one, other = (
        Answers(dense, np.packbits(masks, axis=2))
        for dense, masks in (contender.answers(path, prompts) for contender in (side, eager))
    )
    ious = mask_ious(one, other)
    return {
        "class_map": equal_pixels(one, other),
        "mask_iou_mean": float(ious.mean()),
        "mask_iou_worst": float(ious.min()),
    }
