"""The steps of a benchmark in their order, and about how long the rest will take."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Literal

from wordmask.system.limits import processors
from wordmask_bench.speed.plan import Plan

Kind = Literal["check", "words", "start", "photo", "folder", "agreement", "stage", "rate"]
IDLE = 0.25  # processes at work by the number of cores: above this, other work changes the times


class Progress:
    """Says each step with its number, and the time that is left once the sides' first photos have been timed."""

    def __init__(self, plan: Plan, log: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        """Args: log takes the messages."""
        self.plan, self.log, self.clock = plan, log, clock
        self.steps = steps(plan)
        self.first_photo: dict[str, float] = {}  # seconds, by side
        self._begun = 0
        self._since: tuple[int, float] | None = None  # the step from which estimates are known, and when it began

    def begin(self, text: str) -> None:
        """Says the next step."""
        left = self._left()
        self._begun += 1
        self.log(f"[{self._begun}/{len(self.steps)}] {text}{'' if left is None else f', {_duration(left)} left'}")

    def _left(self) -> float | None:
        """Seconds from here to the end; what was estimated is scaled by how long the steps since then have taken."""
        if len(self.first_photo) < len(self.plan.sides):
            return None
        costs = [seconds(step, self.plan, self.first_photo) for step in self.steps]
        if self._since is None:
            self._since = (self._begun, self.clock())
        start, begun = self._since
        expected = sum(costs[start : self._begun])
        scale = (self.clock() - begun) / expected if expected else 1.0
        return scale * sum(costs[self._begun :])


def steps(plan: Plan) -> list[Kind]:
    """The kinds of the steps, in the order in which wordmask_bench.speed.benchmark.run takes them."""
    each: list[Kind] = ["photo"] * plan.limit
    folder: list[Kind] = ["folder"] * len(plan.sides) if len(plan.photos) > 1 else []
    measured = (each + folder) * len(plan.windows)
    agreement: list[Kind] = ["agreement"] * (plan.limit * len(plan.windows))
    runs = sum(len(plan.batches) if stage in ("clip", "loftup") else 1 for stage in plan.stages)
    starts: list[Kind] = ["start"] * len(plan.sides)
    stages: list[Kind] = ["stage"] * runs
    return ["check", "words", *starts, *measured, *agreement, *stages, "rate"]


def seconds(step: Kind, plan: Plan, first_photo: Mapping[str, float]) -> float:
    """About how long a step takes, by the seconds of each side's first photo."""
    effort, once = plan.effort, sum(first_photo.values())
    if step == "photo":
        return sum(max(effort.runs * each, effort.seconds) + max(effort.warm_up, each) for each in first_photo.values())
    if step == "folder":
        return len(plan.photos) * once / len(first_photo)
    if step == "stage":
        return max(effort.runs * once / max(len(plan.stages), 1), effort.seconds * len(first_photo))
    return once


def busy() -> str:
    """A warning where other processes use the machine's cores; empty where they do not, or that is not known."""
    try:
        load = os.getloadavg()[0]
    except OSError:
        return ""
    cores = processors()
    if load <= IDLE * cores:
        return ""
    return (
        f"WARNING: the machine is busy: {load:.1f} processes at work on average of the last minute, and {cores} cores. "
        "Times and ratios will not be those of an idle machine"
    )


def _duration(left: float) -> str:
    return str(timedelta(seconds=round(left)))
