"""The report of a benchmark as a JSON file; reading checks every field."""

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
    """One side of the benchmark.

    Attributes:
        name: as in all tables.
        variant: wordmask, or a form of the PyTorch chain.
        device: it ran on.
        precision: of its arithmetic.
        cold_start: seconds of the phases start (of the process, before its imports), import, load (models) and
            first_photo; total is from the start of the process to the first photo's written masks, without the
            embedding of words.
        peak_mb: largest resident memory of the process during whole photos.
        gpu_mb: GPU memory that it allocated; None on a CPU.
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
    """One measurement of all sides in alternation.

    Attributes:
        name: `photo`, or a stage of speed.side.
        photo: name of the photo's file.
        windows: in the photo, or in the batch of a stage that runs on windows; else 0.
        prompts: given to SAM2; else 0.
        times: by side; a side that does not have the stage is missing.
        ratios: by wordmask side, then by baseline: the baseline's median over wordmask's.
        gflop: of the graphs' matrix products and convolutions; for a photo, with every pixel of every window upsampled.
        share_of_limit: by wordmask side: gflop divided by its median time and by the measured rate of products.
        stages_ms: by side, medians of the stages within whole photos; parallel branches overlap.
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
    """Photos per second over a folder, one pass per side.

    Attributes:
        photos: in the folder.
        windows: of all photos together.
        images_per_second: by side.
    """

    photos: int
    windows: int
    images_per_second: dict[str, float]


@dataclass(frozen=True)
class Agreement:
    """Agreement of one side's results with a baseline's, for one photo.

    Attributes:
        class_map: share of the pixels that have the same class.
        classes: number of classes in the side's class map; with only one, agreement means little.
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
    """The bundle, vocabulary and options of a benchmark.

    Attributes:
        bundle, domain, precision, models: of the manifest.
        classes: of the vocabulary.
        words: of the vocabulary, with synonyms and background words.
        prompt_source: grid (a fixed grid of points) or extracted (wordmask's prompts of each photo); all sides use the
            same prompts.
        options: that are not the defaults.
        threads: cores that each side may use.
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
    """A whole benchmark; `rates` are measured GFLOP/s of matrix products by precision."""

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
        """Names of the wordmask sides."""
        return tuple(side.name for side in self.sides if side.variant == "wordmask")

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the PyTorch sides."""
        return tuple(side.name for side in self.sides if side.variant != "wordmask")

    def agreement_of(self, engine: str, baseline: str, row: Measurement) -> Agreement | None:
        """How far two sides agree on the photo of a measurement; None if they were not compared."""
        wanted = engine, baseline, row.photo, row.windows
        return next((a for a in self.agreement if (a.side, a.baseline, a.photo, a.windows) == wanted), None)

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"


def ratios(times: Mapping[str, Times], engines: Sequence[str]) -> dict[str, dict[str, float]]:
    """The baseline's median time over the engine's, by engine and baseline."""
    return {
        engine: {
            name: value.median_ms / times[engine].median_ms for name, value in times.items() if name not in engines
        }
        for engine in engines
        if engine in times
    }


def read_report(path: Path) -> BenchReport:
    """Reads a file that to_json made.

    Raises:
        ValueError: it is not a report, or has another schema.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or (raw.get("kind"), raw.get("schema")) != (KIND, SCHEMA):
            raise ValueError(f"expected kind {KIND!r} of schema {SCHEMA}")
        report: BenchReport = parse_as(BenchReport, raw, "report")
    except (ValueError, WordmaskError) as error:
        raise ValueError(f"{path.name}: no report of this version of `wordmask bench`: {error}") from error
    return report
