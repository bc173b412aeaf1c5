"""What a benchmark has found, as a JSON file that is read back as strictly as it was written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from wordmask.bundle.strict_json import parse_as
from wordmask.errors import WordmaskError
from wordmask_bench.machine.hardware import Machine
from wordmask_bench.machine.timing import Effort, Times

SCHEMA, KIND = 1, "wordmask bench"


@dataclass(frozen=True)
class SideFacts:
    """One contender.

    Attributes:
        name: as in all tables.
        variant: wordmask, or a form of the PyTorch chain.
        device: it ran on. precision: of its arithmetic.
        cold_start: seconds: start (of the process until its imports), import, load (models), first_photo, and total:
            from the start of the process to the first photo's written masks, but for the embedding of words.
        peak_mb: largest resident memory of the process in its runs of whole photos.
        gpu_mb: memory of the GPU that it took; None on a CPU.
    """

    name: str
    variant: str
    device: str
    precision: str
    cold_start: dict[str, float]
    peak_mb: float
    gpu_mb: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One thing that all sides did in turn.

    Attributes:
        name: `photo`, or a stage of speed.side.
        photo: name of the photo's file.
        windows: of the photo; in a batch, of the stages of windows; 0 where there is none.
        prompts: given to SAM2; 0 where there is none.
        times: by side; a side without a form of its own is missing.
        ratios: by wordmask's side, then by baseline: how many times faster, by the medians.
        gflop: of the graphs' matrix products and convolutions (of a photo: every pixel of every window upsampled).
        share_of_limit: by wordmask's side: gflop over its median time and the machine's measured rate of products.
        stages_ms: by side, medians of the stages inside whole photos; branches that run side by side overlap.
    """

    name: str
    photo: str
    windows: int
    prompts: int
    times: dict[str, Times]
    ratios: dict[str, dict[str, float]]
    gflop: float | None = None
    share_of_limit: dict[str, float] = field(default_factory=dict)
    stages_ms: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Throughput:
    """Photos of a folder, one pass a side.

    Attributes:
        photos: in the folder. windows: of all photos.
        images_per_second: by side.
    """

    photos: int
    windows: int
    images_per_second: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """How far one side's results are those of a baseline, for one photo.

    Attributes:
        class_map: share of pixels of one class.
        classes: that the side's class map has at all: with one, agreement is easy.
        mask_iou_mean, mask_iou_worst: over masks of the same prompts; None without prompts.
    """

    side: str
    baseline: str
    photo: str
    windows: int
    prompts: int
    class_map: float
    classes: int
    mask_iou_mean: float | None
    mask_iou_worst: float | None


@dataclass(frozen=True)
class Subject:
    """What was measured.

    Attributes:
        bundle, domain, precision, models: of the manifest.
        classes, words: of the vocabulary; with the synonyms and the background's.
        prompt_source: grid (the same given points for both sides) or extracted (wordmask's own of each photo, given to
            both sides).
        options: that are not the defaults.
        threads: cores each side was kept on.
    """

    bundle: str
    domain: str
    precision: str
    models: dict[str, str]
    classes: int
    words: int
    prompt_source: Literal["grid", "extracted"]
    options: dict[str, bool | int | float | str]
    threads: int


@dataclass(frozen=True)
class BenchReport:
    """All of a benchmark. `rates` are GFLOP/s of matrix products, measured, by precision."""

    schema: int
    kind: str
    date: str
    subject: Subject
    machine: Machine
    effort: Effort
    rates: dict[str, float]
    sides: tuple[SideFacts, ...]
    measurements: tuple[Measurement, ...]
    throughput: tuple[Throughput, ...]
    agreement: tuple[Agreement, ...]

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of wordmask's sides."""
        return tuple(side.name for side in self.sides if side.variant == "wordmask")

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the others."""
        return tuple(side.name for side in self.sides if side.variant != "wordmask")

    def agreement_of(self, engine: str, baseline: str, row: Measurement) -> Agreement | None:
        """How far two sides agree on the photo of a measurement; None if they were not compared."""
        wanted = engine, baseline, row.photo, row.windows
        return next((a for a in self.agreement if (a.side, a.baseline, a.photo, a.windows) == wanted), None)

    def to_json(self) -> str:
        """The text of the file."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def ratios(times: Mapping[str, Times], engines: Sequence[str]) -> dict[str, dict[str, float]]:
    """By engine and baseline: the baseline's median over the engine's."""
    return {
        engine: {
            name: value.median_ms / times[engine].median_ms for name, value in times.items() if name not in engines
        }
        for engine in engines
        if engine in times
    }


def read_report(path: Path) -> BenchReport:
    """Reads what to_json gave.

    Raises:
        ValueError: it is not such a file, or of another version.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or (raw.get("kind"), raw.get("schema")) != (KIND, SCHEMA):
            raise ValueError(f"expected kind {KIND!r} of schema {SCHEMA}")
        report: BenchReport = parse_as(BenchReport, raw, "report")
    except (ValueError, WordmaskError) as error:
        raise ValueError(f"{path.name}: no report of this version of `wordmask bench`: {error}") from error
    return report
