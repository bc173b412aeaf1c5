"""Times several functions in alternation, so that clock rate and heat are the same for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np


@dataclass(frozen=True)
class Effort:
    """How long to measure: for each function `warm_up` seconds, then at least `runs` runs and `seconds` seconds.

    With a `warm_up` above 0 there is at least one warm-up run.
    """

    warm_up: float = 0.2
    runs: int = 10
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.runs < 1 or min(self.warm_up, self.seconds) < 0:
            raise ValueError(f"{self}: at least one run is needed, and no time is negative")


@dataclass(frozen=True)
class Times:
    """Statistics of the runs of one function, in milliseconds."""

    median_ms: float
    p95_ms: float
    runs: int
    min_ms: float
    mean_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


def times_of(milliseconds: Sequence[float]) -> Times:
    """Statistics of at least one run."""
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
    """Warms every function up, then runs them in alternation until each has its runs and its seconds.

    Args:
        contenders: functions by name; a call does one run and returns its milliseconds.
        effort: how long to measure.
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
    """Times functions in this process in alternation; see `alternate` and `milliseconds`."""
    return alternate({name: partial(milliseconds, call, cuda=cuda) for name, call in contenders.items()}, effort)


def milliseconds(call: Callable[[], object], *, cuda: bool) -> float:
    """Milliseconds of one run; with `cuda`, until all streams of the GPU that torch uses are done."""
    _synchronize(cuda)
    start = time.perf_counter()
    call()
    _synchronize(cuda)
    return (time.perf_counter() - start) * 1000


def _synchronize(cuda: bool) -> None:
    if cuda:
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()
