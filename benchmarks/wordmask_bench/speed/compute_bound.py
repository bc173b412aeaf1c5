"""Arithmetic of a graph in GFLOP, and the share of the machine's measured rate that a run reaches."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from wordmask.bundle.manifest import HALO
from wordmask.bundle.opening import PipelineBundle
from wordmask_bench.machine.flops import count_flops
from wordmask_bench.speed.report import Measurement


@dataclass(frozen=True, eq=False)
class GraphWork:
    """Arithmetic of a bundle's graphs in GFLOP, for a number of words; each size is counted once and cached."""

    bundle: PipelineBundle
    words: int

    def gflop(self, row: Measurement, *, loftup: bool) -> float | None:
        """Arithmetic of a measurement; None if it runs no graph.

        Args:
            row: what was measured.
            loftup: whether whole photos were upsampled with LoftUp.
        """
        if row.name == "photo":
            windows = row.windows * (self.graph("clip", 1) + (self.graph("loftup", 1) if loftup else 0.0))
            return windows + self.graph("sam2_encoder", 1) + self.graph("sam2_decoder", row.prompts)
        rows = {"clip": row.windows, "loftup": row.windows, "sam2_encoder": 1, "sam2_decoder": row.prompts}
        return self.graph(row.name, rows[row.name]) if row.name in rows else None

    @functools.cache  # noqa: B019
    def graph(self, stage: str, rows: int) -> float:
        """Arithmetic of a stage's graph for a number of windows or prompts."""
        if not rows:
            return 0.0
        clip = self.bundle.manifest.clip
        patches = clip.window // clip.patch
        side = clip.window + 2 * HALO
        sizes = {"B": rows, "N": rows, "P": 1, "C": self.words, "H+4": side, "W+4": side}
        sizes |= {"h": patches, "w": patches, "h*w": patches**2}
        entry = self.bundle.manifest.graphs["clip_image" if stage == "clip" else stage]
        return count_flops(self.bundle.path(entry), sizes) / 1e9


def with_share(row: Measurement, gflop: float | None, rates: Mapping[str, float]) -> Measurement:
    """Adds the arithmetic to a measurement, and the share of the machine's rate that was reached.

    Args:
        row: what was measured.
        gflop: its arithmetic.
        rates: GFLOP/s of matrix products, by the names of the sides that are compared with them.
    """
    if gflop is None:
        return row
    share = {
        name: gflop / (row.times[name].median_ms / 1000) / rate for name, rate in rates.items() if name in row.times
    }
    return replace(row, gflop=gflop, share_of_limit=share)
