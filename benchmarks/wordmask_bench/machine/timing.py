"""Times of several contenders that take turns, so that all see the same clock rates and the same heat."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np


@dataclass(frozen=True)
class Effort:
    """How long to measure: `warm_up` seconds a contender, then at least `runs` runs and `seconds` seconds each.

    With a `warm_up` above 0 there is at least one run before those that count.
    """

    warm_up: float = 0.2
    runs: int = 10
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.runs < 1 or min(self.warm_up, self.seconds) < 0:
            raise ValueError(f"{self}: at least one run is needed, and no time is negative")


@dataclass(frozen=True)
class Times:
    """Milliseconds of a contender's runs."""

    median_ms: float
    p95_ms: float
    runs: int
    min_ms: float
    mean_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def times_of(milliseconds: Sequence[float]) -> Times:
    """Statistics of runs, at least one."""
    values = np.asarray(milliseconds, np.float64)
    p90, p95, p99 = np.percentile(values, (90, 95, 99)).tolist()
    return Times(
        median_ms=float(np.median(values)),
        p95_ms=p95,
        runs=len(values),
        min_ms=float(values.min()),
        mean_ms=float(values.mean()),
        p90_ms=p90,
        p99_ms=p99,
        max_ms=float(values.max()),
    )


def alternate(contenders: Mapping[str, Callable[[], float]], effort: Effort) -> dict[str, Times]:
    """Warms every contender up, then lets them run in turn until each has had its runs and its seconds.

    Args:
        contenders: by name; a call does one run and gives its milliseconds.
        effort: how long.
    """
    for call in contenders.values():
        spent = 0.0
        while spent < effort.warm_up * 1000:
            spent += call()
    runs: dict[str, list[float]] = {name: [] for name in contenders}
    while any(len(past) < effort.runs or sum(past) < effort.seconds * 1000 for past in runs.values()):
        for name, call in contenders.items():
            runs[name].append(call())
    return {name: times_of(past) for name, past in runs.items()}


def measure(contenders: Mapping[str, Callable[[], object]], effort: Effort, *, cuda: bool) -> dict[str, Times]:
    """Times of contenders in this process, which run in turn; see `alternate` and `milliseconds`."""
    return alternate({name: partial(milliseconds, call, cuda=cuda) for name, call in contenders.items()}, effort)


def milliseconds(call: Callable[[], object], *, cuda: bool) -> float:
    """Milliseconds of one run; on a GPU that torch sees, until all its streams are done, the engines' among them."""
    _synchronize(cuda)
    start = time.perf_counter()
    call()
    _synchronize(cuda)
    return (time.perf_counter() - start) * 1000


def _synchronize(cuda: bool) -> None:
    if cuda:
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()
