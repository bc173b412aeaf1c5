"""run.json: the settings, models and totals of a run. Written from the rows of the journal."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from wordmask.bundle.strict_json import load_json, parse_as
from wordmask.formats.json import json_bytes
from wordmask.outputs.rows import DoneRow, PhotoRow

SAM_GRIDS = (32 * 32, 64 * 64)  # points of SAM's automatic mask generator: its default, and the dense one
MOST_NAMED = 3  # photos of a code


@dataclass(frozen=True)
class BundleRecord:
    """The bundle that a run used: entries of its manifest, and whether LoftUp upsampled the features."""

    id: str
    domain: str
    precision: str
    models: dict[str, str]
    loftup: bool


@dataclass(frozen=True)
class TotalsRecord:
    """Totals over the photos of a run.

    Attributes:
        photos: number that have an outcome, over all runs into this folder.
        statuses: the number of these photos by status: "ok", or the code of a PhotoError.
        instances: number of their masks.
        seconds: wall time of the last run into this folder.
        images_per_second: photos that this last run processed, by `seconds`.
        objects: number of masks by word, as annotations.json has them; empty while that is not written.
        failed: the first photos without results, by code.
    """

    photos: int
    statuses: dict[str, int]
    instances: int
    seconds: float
    images_per_second: float
    objects: dict[str, int] = field(default_factory=dict)
    failed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """The number of photos that have results."""
        return self.statuses.get("ok", 0)


@dataclass(frozen=True)
class StageSeconds:
    """Seconds that a stage takes per photo."""

    mean: float
    median: float

    @classmethod
    def of(cls, values: Sequence[float]) -> StageSeconds:
        """Of the photos' values."""
        return cls(round(statistics.mean(values), 4), round(statistics.median(values), 4))


@dataclass(frozen=True)
class RunRecord:
    """The content of run.json.

    Attributes:
        finished: whether every photo has an outcome.
        settings: the options and arguments, by name; see run.request.RunRequest.recorded_settings.
        bundle: the models.
        totals: over all photos.
        stage_seconds: over the photos that have results, by stage.
        prompts_per_image: the mean number of SAM2 prompts.
        prompt_reduction: share of SAM's point grid saved by these prompts, by `against_N_points`; see `reduction`.
    """

    finished: bool
    settings: dict[str, Any]
    bundle: BundleRecord
    totals: TotalsRecord
    stage_seconds: dict[str, StageSeconds]
    prompts_per_image: float
    prompt_reduction: dict[str, float]

    @classmethod
    def of(
        cls,
        rows: Iterable[PhotoRow],
        settings: dict[str, Any],
        bundle: BundleRecord,
        *,
        finished: bool,
        done_before: int,
        seconds: float,
        objects: Mapping[str, int] | None = None,
    ) -> RunRecord:
        """Adds up the rows of a journal.

        Args:
            rows: one per photo.
            settings: see RunRecord, likewise bundle and finished.
            bundle: the models.
            finished: whether every photo has its row.
            done_before: the number of rows that an earlier run wrote.
            seconds: that this run took for the others.
            objects: number of masks by word; None if unknown.
        """
        statuses: Counter[str] = Counter()
        prompts: list[int] = []
        instances, stages = 0, defaultdict[str, list[float]](list)
        failed = defaultdict[str, list[str]](list)
        for row in rows:  # not kept: a run may have millions
            statuses[row.status] += 1
            if isinstance(row, DoneRow):
                instances += row.instances
                prompts.append(row.prompts)
                for stage, value in row.seconds.items():
                    stages[stage].append(value)
            elif len(failed[row.status]) < MOST_NAMED:
                failed[row.status].append(row.photo)
        rate = round((statuses.total() - done_before) / seconds, 4)
        each = statistics.mean(prompts) if prompts else 0.0
        return cls(
            finished,
            settings,
            bundle,
            TotalsRecord(
                statuses.total(),
                dict(sorted(statuses.items())),
                instances,
                round(seconds, 3),
                rate,
                dict(objects or {}),
                {code: tuple(names) for code, names in sorted(failed.items())},
            ),
            {stage: StageSeconds.of(values) for stage, values in sorted(stages.items())},
            round(each, 2),
            {f"against_{grid}_points": round(reduction(each, grid), 4) for grid in SAM_GRIDS},
        )

    @classmethod
    def parse(cls, content: bytes) -> RunRecord:
        """Reads the content of run.json.

        Raises:
            ValueError: no run wrote it; names the field that is wrong.
        """
        record = parse_as(cls, load_json(content.decode()), "run.json")
        assert isinstance(record, cls)
        return record

    def to_bytes(self) -> bytes:
        """The content of run.json."""
        return json_bytes(asdict(self), indent=1)


def reduction(prompts: float, grid: int) -> float:
    """Share of the decoder's work saved against prompting with a grid of points.

    Args:
        prompts: prompts given, of one photo or on average.
        grid: points of the grid, for instance 1024 (32 x 32) or 4096.

    Returns:
        0 (nothing saved) to 1.
    """
    return max(0.0, 1.0 - prompts / grid)
