"""Says of each stage's figures whether trained weights behave so.

The limits come from what the papers show of the models, and from the shipped `tiny`; they have never been held against
published weights. So a figure beyond its limit is a warning and not an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from wordmask_bench.bundle_check.measures import Covered, Figures

State = Literal["ok", "note", "warning"]

LEAST_INSIDE, MOST_OUTSIDE = 0.5, 0.2  # shares of the object and of the rest that its word may have
LEAST_OVERLAP = 0.4  # of a word's pixels with LoftUp and without: it moves outlines, it does not rename objects
LEAST_SHARPENING = 1.3
LEAST_IOU = 0.6  # SAM2's own estimate for clicks on the object

BROKEN = {
    "CLIP": "the right word does not win: its weights or their activation (quickgelu) are not the right ones",
    "LoftUp": "it does not sharpen what CLIP sees: its weights are not those trained for this CLIP",
    "SAM2": "it does not find an object by clicks on it: its weights are not the right ones",
    "chain": "the masks with the right word do not cover the object",
}


@dataclass(frozen=True)
class Finding:
    """What is said of one stage on one picture."""

    stage: str
    picture: str
    state: State
    text: str


def judge(rows: Sequence[Figures], *, random: bool) -> Iterator[Finding]:
    """A finding of each stage for each picture; of random weights a note, because nothing can be expected of them."""
    stages: tuple[tuple[str, Callable[[Figures], tuple[bool, str] | None]], ...] = (
        ("CLIP", _clip),
        ("LoftUp", _loftup),
        ("SAM2", _sam2),
        ("chain", _chain),
    )
    for stage, look in stages:
        for row in rows:
            found = look(row)
            if found is not None:
                good, text = found
                yield Finding(stage, row.name, "note" if random else "ok" if good else "warning", text)


def advice(findings: Sequence[Finding]) -> list[str]:
    """A line for each stage with a warning."""
    stages = dict.fromkeys(finding.stage for finding in findings if finding.state == "warning")
    return [f"{stage}: {BROKEN[stage]}" for stage in stages]


def _clip(row: Figures) -> tuple[bool, str]:
    return _good(row.clip), f'"{row.word}" wins on {_shares(row.clip)}'


def _loftup(row: Figures) -> tuple[bool, str] | None:
    if row.loftup is None:
        return None
    found = row.loftup
    good = found.overlap >= LEAST_OVERLAP and found.sharpening >= LEAST_SHARPENING
    return (
        good,
        f"outlines {found.sharpening:.1f} times as steep; its pixels and bilinear's have an IoU of {found.overlap:.2f}",
    )


def _sam2(row: Figures) -> tuple[bool, str]:
    good = row.sam2_iou >= LEAST_IOU and _good(row.sam2)
    return (
        good,
        f"the mask of clicks on it covers {_shares(row.sam2)}; SAM2's own estimate of its IoU is {row.sam2_iou:.2f}",
    )


def _chain(row: Figures) -> tuple[bool, str]:
    return _good(row.chain), f'masks named "{row.word}" cover {_shares(row.chain)}'


def _good(found: Covered) -> bool:
    return found.inside >= LEAST_INSIDE and found.outside <= MOST_OUTSIDE


def _shares(found: Covered) -> str:
    return f"{found.inside:.0%} of it and {found.outside:.0%} of the rest"
