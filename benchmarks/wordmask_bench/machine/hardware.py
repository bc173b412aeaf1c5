"""The machine of a benchmark and its measured rate of matrix products; no names of hosts, users or folders."""

from __future__ import annotations

import functools
import math
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wordmask.system.limits import memory, processors
from wordmask_bench.machine.facts import installed_version, nvidia_smi
from wordmask_bench.machine.timing import milliseconds

PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "pillow",
    "onnxruntime",
    "onnxruntime-gpu",
    "openvino",
    "tensorrt",
    "cuda-python",
    "torch",
    "torchvision",
    "open_clip_torch",
    "sam2",
    "onnx",
)
SIDES = (1024, 2048, 4096)  # of the square matrices


@dataclass(frozen=True)
class Machine:
    """Facts about a machine.

    Attributes:
        cores: that this process may use.
        gpu: its name and driver; empty without a GPU.
    """

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    gpu: str
    packages: dict[str, str]


def machine() -> Machine:
    """The machine that this process runs on."""
    smi = nvidia_smi()
    return Machine(
        cpu=_cpu(),
        cores=processors(),
        memory_gib=round(memory() / 1024**3, 1),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        gpu=f"{smi['name']}, driver {smi['driver_version']}" if smi else "",
        packages={name: version for name in PACKAGES if (version := installed_version(name))},
    )


def _cpu() -> str:
    """Name of the processor, with family and model number where the system gives them."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts['cpu family']}, model {facts['model']})" if "cpu family" in facts else name


def matrix_rate(precision: str, device: str, seconds: float) -> float:
    """GFLOP/s of the fastest square matrix product in torch or, in fp32 on a CPU, in numpy.

    Args:
        precision: fp32, fp16 or bf16.
        device: torch's name.
        seconds: spent on each size of matrix.
    """
    import torch  # noqa: PLC0415

    kind = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    best = 0.0
    for side in SIDES:
        generator = torch.Generator().manual_seed(side)
        left, right = (torch.randn(side, side, generator=generator).to(device, kind) for _ in range(2))
        products: list[Callable[[], object]] = [functools.partial(torch.matmul, left, right)]
        if precision == "fp32" and device == "cpu":
            products.append(functools.partial(np.matmul, left.numpy(), right.numpy()))
        least = min(_fastest(product, seconds, cuda=device != "cpu") for product in products)
        best = max(best, 2 * side**3 / least / 1e9)
    return best


def _fastest(call: Callable[[], object], seconds: float, *, cuda: bool) -> float:
    """Seconds of the fastest run; runs are repeated for the given number of seconds."""
    end, least = time.perf_counter() + seconds, math.inf
    while least == math.inf or time.perf_counter() < end:
        least = min(least, milliseconds(call, cuda=cuda) / 1000)
    return least
