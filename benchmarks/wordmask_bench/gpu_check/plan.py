"""The steps of the check on a GPU, in the order of their worth, and which of them a machine can do."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordmask.backends.onnxruntime import tensorrt_rtx
from wordmask.bundle.engines import Precision
from wordmask_bench.gpu_check.skeleton import MOMENTS
from wordmask_bench.machine.timing import Effort
from wordmask_bench.quality.scenes import FIRST_SEED
from wordmask_bench.speed.folder_run import write_made_photo


@dataclass(frozen=True)
class Variant:
    """A device, and for TensorRT the precision of its engines."""

    name: str
    device: str
    precision: Precision | None = None

    @property
    def torch_device(self) -> str:
        """Where the PyTorch side runs."""
        return "cpu" if self.device == "cpu" else "cuda"

    @property
    def half(self) -> bool:
        """Whether the arithmetic is in half precision."""
        return self.precision in ("fp16", "bf16")


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("cpu", "cpu"),
        Variant("cuda", "cuda"),
        Variant("tensorrt-fp16", "tensorrt", "fp16"),
        Variant("tensorrt-fp32", "tensorrt", "fp32"),
        Variant("tensorrt-bf16", "tensorrt", "bf16"),
        Variant("tensorrt-rtx", "tensorrt-rtx"),
    )
}


FACTS, TINY, FULL = "facts", "tiny-reference", "full-reference"
MINUTES = 8.0
# seconds a step may take, of MINUTES
LIMITS = {FACTS: 90.0, TINY: 150.0, FULL: 300.0, "tiny": 150.0, "photo": 150.0, "folder": 150.0, "full": 240.0,
          "compile": 150.0, "options": 150.0}  # fmt: skip
KINDS = ("tiny", "photo", "folder", "full", "compile")  # on every device, most telling first
DEVICES = ("cpu", "cuda", "tensorrt-fp16")  # likewise


@dataclass(frozen=True)
class Settings:
    """What the command line chose.

    Attributes:
        out: folder of the results and of what the steps leave to each other.
        tiny: the bundle with trained weights, name or folder.
        full: the full-size bundle, or a skeleton of one; None builds one with random weights.
        clip, sam2: models of that bundle, names or configuration files.
        small: build it with windows of 64 pixels.
        photo: the whole photo that is timed; None makes one of 1800x1200. photos: how many of it a folder holds.
        scenes: held-out scenes to judge quality by.
        max_batch, max_prompts: of the engines.
        effort: of timing.
    """

    out: Path
    tiny: str
    full: str | None
    clip: str
    sam2: str
    small: bool
    photo: Path | None
    photos: int
    scenes: int
    max_batch: int
    max_prompts: int
    effort: Effort

    def work(self, name: str) -> Path:
        """A file or folder that one step leaves to the next."""
        folder = self.out / "work"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    @property
    def from_skeleton(self) -> bool:
        """Whether the full-size bundle's weights are drawn anew, so that no PyTorch model has them."""
        return self.full is not None and (Path(self.full) / MOMENTS).is_file()

    def timed_photo(self) -> Path:
        """The whole photo that is timed."""
        if self.photo is not None:
            return self.photo
        made = self.work("photo.jpg")
        if not made.is_file():
            write_made_photo(made)
        return made

    @property
    def seeds(self) -> range:
        """Of the scenes."""
        return range(FIRST_SEED, FIRST_SEED + self.scenes)


@dataclass(frozen=True)
class Step:
    """One step: what it is called, what it runs on (None: the CPU, as a reference), and its limit in seconds."""

    name: str
    variant: Variant | None
    limit: float


def plan(devices: Sequence[str], only: Sequence[str] | None, minutes: float = MINUTES) -> list[Step]:
    """The steps in the order of their worth.

    Args:
        devices: names of VARIANTS.
        only: patterns of the names of steps to do beside the facts; None for all.
        minutes: there are; with more than usual, a step may take longer too.
    """
    more = max(1.0, minutes / MINUTES)
    ordered = sorted(dict.fromkeys(devices), key=lambda name: DEVICES.index(name) if name in DEVICES else len(DEVICES))
    steps = [Step(TINY, None, LIMITS[TINY] * more)]
    for kind in KINDS:
        steps += [Step(f"{kind}-{name}", VARIANTS[name], LIMITS[kind] * more) for name in ordered]
        if kind == "tiny":
            steps.append(Step(FULL, None, LIMITS[FULL] * more))
    if "cuda" in devices:
        steps.append(Step("options-cuda", VARIANTS["cuda"], LIMITS["options"] * more))
    wanted = [step for step in steps if not only or any(fnmatch.fnmatch(step.name, pattern) for pattern in only)]
    return [Step(FACTS, None, LIMITS[FACTS] * more), *wanted]


def unavailable(variant: Variant, found: dict[str, Any]) -> str | None:
    """Why a machine with these facts cannot run a device; None if it may.

    Args:
        variant: the device.
        found: the result of the step `facts`.
    """
    if variant.device == "cpu":
        return None
    if not (found.get("torch") or {}).get("gpu"):
        return "torch sees no GPU"
    if variant.device == "cuda":
        providers = (found.get("onnxruntime") or {}).get("providers", [])
        return None if "CUDAExecutionProvider" in providers else "this ONNX Runtime has no CUDA: onnxruntime-gpu has"
    modules = found.get("modules") or {}
    needed = ("tensorrt", "cuda.bindings") if variant.device == "tensorrt" else ("onnxruntime_ep_nv_tensorrt_rtx",)
    missing = [name for name in needed if not modules.get(name)]
    return f"not installed: {', '.join(missing)}" if missing else None


def may_refuse(variant: Variant, found: dict[str, Any]) -> bool:
    """Whether the device is TensorRT-RTX, under whichever name, on a GPU it is not made for."""
    rtx = variant.device == "tensorrt-rtx" or (
        variant.device == "tensorrt" and bool((found.get("tensorrt") or {}).get("rtx"))
    )
    return rtx and not tensorrt_rtx.supports((found.get("torch") or {}).get("capability") or "")
