"""Times of several contenders in one process, alternating, so that all see the same clocks and the same heat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Effort:
    """How long to measure: at least so many seconds of warm-up a contender, then so many runs each."""

    warm_up: float = 0.2
    runs: int = 10


@dataclass(frozen=True)
class Times:
    """Milliseconds of a contender's runs."""

    median_ms: float
    p95_ms: float
    runs: int


def measure(contenders: Mapping[str, Callable[[], object]], effort: Effort, *, cuda: bool) -> dict[str, Times]:
    """Warms every contender up, then lets them run in turn.

    The wall clock is read when the call is back and the GPU has nothing left to do, so that the engines' streams and
    torch's are measured alike.

    Args:
        contenders: by name, one run each.
        effort: how long.
        cuda: whether they work on a GPU; torch must see it.
    """
    for call in contenders.values():
        start = time.perf_counter()
        while True:
            _milliseconds(call, cuda)
            if time.perf_counter() - start >= effort.warm_up:
                break
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(effort.runs):
        for name, call in contenders.items():
            spent[name].append(_milliseconds(call, cuda))
    return {
        name: Times(float(np.median(values)), float(np.percentile(values, 95)), len(values))
        for name, values in spent.items()
    }


def _milliseconds(call: Callable[[], object], cuda: bool) -> float:
    _synchronize(cuda)
    start = time.perf_counter()
    call()
    _synchronize(cuda)
    return (time.perf_counter() - start) * 1000


def _synchronize(cuda: bool) -> None:
    """Waits for all streams of the GPU, the engines' among them."""
    if cuda:
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()


def gpu_used() -> int:
    """Bytes of the GPU's memory in use, by all processes and libraries."""
    import torch  # noqa: PLC0415

    free, total = torch.cuda.mem_get_info()
    return int(total - free)
