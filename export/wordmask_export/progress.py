"""Progress of a build: which step of how many, and about how long it still takes.

The estimate begins with what the steps took on two cores and follows what they take here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

EXPORT, COMPARE = "exporting", "comparing with PyTorch"


@dataclass(frozen=True)
class Cost:
    """Seconds that a step takes on two cores: fixed, and for each million of parameters."""

    fixed: float
    per_million: float = 0.0


# the processor's seconds with ViT-B/16, LoftUp and SAM2.1 large, over what the two cores share of a step
COSTS = {
    (EXPORT, "clip_image"): Cost(3, 0.08),
    (EXPORT, "clip_text"): Cost(3, 0.08),
    (EXPORT, "loftup"): Cost(6),
    (EXPORT, "loftup_cpu"): Cost(16),
    (EXPORT, "loftup_features"): Cost(5),
    (EXPORT, "sam2_encoder"): Cost(4, 0.28),
    (EXPORT, "sam2_decoder"): Cost(9),
    (EXPORT, "sam2_mask_decoder"): Cost(9),
    (COMPARE, "clip_image"): Cost(2, 0.06),
    (COMPARE, "clip_text"): Cost(2),
    (COMPARE, "loftup"): Cost(14),
    (COMPARE, "loftup_cpu"): Cost(6),
    (COMPARE, "loftup_features"): Cost(2),
    (COMPARE, "sam2_encoder"): Cost(10, 0.5),
    (COMPARE, "sam2_decoder"): Cost(8),
    (COMPARE, "sam2_mask_decoder"): Cost(8),
}
OTHER = Cost(5, 0.1)


class Progress:
    """Says each step when it begins, and the time that is left."""

    def __init__(self, parameters: Mapping[str, int], report: Callable[[str], None]) -> None:
        """Plans to export every graph and then to compare it.

        Args:
            parameters: numbers of parameters by the graphs' names.
            report: takes the messages.
        """
        self._report = report
        self._total = 2 * len(parameters)
        self._left = {
            (step, name): _cost(step, name, count) for step in (EXPORT, COMPARE) for name, count in parameters.items()
        }
        self._expected = self._taken = 0.0

    def skip(self, step: str, name: str) -> None:
        """Takes out a step that an earlier start of this build finished."""
        self._left.pop((step, name), None)

    @contextlib.contextmanager
    def step(self, step: str, name: str) -> Iterator[None]:
        """Says that a step begins, and measures the block."""
        number = self._total - len(self._left) + 1
        self._report(f"[{number:>2}/{self._total}] {name}: {step} ({_show(self.left())} left)")
        started = time.perf_counter()
        yield
        self._taken += time.perf_counter() - started
        self._expected += self._left.pop((step, name), 0.0)

    def left(self) -> float:
        """Seconds that are left, by what the steps so far took."""
        # as if one short step had taken what is expected, so that the first steps do not decide alone
        pace = (self._taken + 10) / (self._expected + 10)
        return pace * sum(self._left.values())


def _cost(step: str, name: str, count: int) -> float:
    cost = COSTS.get((step, name), OTHER)
    return cost.fixed + cost.per_million * count / 1e6


def _show(seconds: float) -> str:
    return (
        f"about {seconds / 60:.0f} min" if seconds > 90 else "about a minute" if seconds > 40 else "less than a minute"
    )
