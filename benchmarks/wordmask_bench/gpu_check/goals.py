"""What the check on a GPU is to show, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A figure of the check and the least it should be.

    Attributes:
        least: wanted. found: measured; None where it was not.
    """

    name: str
    least: float
    found: float | None

    @property
    def reached(self) -> str:
        """In a word, for the report."""
        if self.found is None:
            return "not measured"
        return "yes" if self.found >= self.least else "no"


def goals(results: Mapping[str, Mapping[str, Any]]) -> list[Goal]:
    """The goals of CUDA.

    Args:
        results: of the steps, by their names.
    """
    photo, folder = results.get("photo-cuda", {}), results.get("folder-cuda", {})
    chain = results.get("tiny-cuda", {}).get("chain_against_cpu", {})
    runs = [figures for name, figures in folder.items() if ".in_flight." in name]
    return [
        Goal("photo: times as fast as PyTorch eager in fp32", 4.0, _best(_ratios(photo, "eager"))),
        Goal("photo: times as fast as PyTorch under autocast", 2.0, _best(_ratios(photo, "autocast"))),
        Goal("folder: photos a second", 25.0, _best(_each(runs, "photos_per_second"))),
        Goal("folder: share of the time in which the GPU computes", 0.85, _best(_each(runs, "gpu_busy"))),
        Goal("tiny: share of the class map equal to the CPU's, fp32", 0.999, chain.get("class_map")),
        Goal("photo: share of the class map equal to eager's, fp32", 0.999, _agreement(photo, "fp32")),
        Goal("photo: share of the class map equal to eager's, fp16", 0.99, _agreement(photo, "fp16")),
        Goal("photo: mean IoU of masks with eager's, fp32", 0.998, _agreement(photo, "fp32", "mask_iou_mean")),
    ]


def _ratios(photo: Mapping[str, Any], baseline: str) -> Iterator[float]:
    """The baseline's time over that of each precision."""
    for ratios in photo.get("times", {}).get("ratios", {}).values():
        yield ratios[baseline]


def _each(runs: Sequence[Mapping[str, Any]], key: str) -> Iterator[float]:
    return (run[key] for run in runs if key in run)


def _best(values: Iterator[float]) -> float | None:
    return max(values, default=None)


def _agreement(photo: Mapping[str, Any], precision: str, key: str = "class_map") -> float | None:
    found: float | None = photo.get(f"agreement.{precision}", {}).get(key)
    return found
