"""A benchmark as one HTML page without scripts and without external files; all texts are escaped."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from wordmask.report.charts import Bar, bars, legend
from wordmask.report.page import bullets, cards, masthead, section, table
from wordmask.report.page import page as shell
from wordmask_bench.speed.report import BenchReport, Measurement
from wordmask_bench.speed.table import about, agreement_line, label

PHASES = ("start", "import", "load", "first_photo")
STATISTICS = ("min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")


def page(report: BenchReport) -> bytes:
    """The report as HTML."""
    photos = [row for row in report.measurements if row.name == "photo"]
    stages = [row for row in report.measurements if row.name != "photo"]
    models = ", ".join(report.subject.models.values())
    machine, peaks = report.machine, {side.name: side.peak_mb for side in report.sides}
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    software = f"{machine.system}, Python {machine.python}, {versions}"
    where = f"{machine.cpu}, {report.subject.threads} of {machine.cores} cores, {report.date}"
    body = [
        masthead("wordmask bench", f"{models} on {where}"),
        "<main>\n",
        cards(_ratios(photos, report)),
        section("Whole photos, from file to written masks", [_measurement(row, report) for row in photos]),
        section("Stage by stage", [_measurement(row, report) for row in stages]),
        section("Photos a second", _throughput(report)),
        section("Memory", [_bars("largest resident memory", peaks, report, unit="MB"), *_gpu(report)]),
        section("Cold start", [_cold_start(report)]),
        section("What the speed costs", [bullets(agreement_line(row) for row in report.agreement)]),
        section("How it was measured", [bullets([*about(report), software])]),
        section("All statistics, seconds", [_statistics(report)]),
        "</main>\n",
    ]
    return shell("wordmask bench", "".join(body))


def _ratios(photos: Sequence[Measurement], report: BenchReport) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Speed on whole photos relative to the first baseline, with the agreement of the results."""
    baseline = report.baselines[0]
    for row in photos:
        for engine, found in row.ratios.items():
            text = f"{baseline} takes {found[baseline]:.2f} times as long as {engine}"
            yield f"{found[baseline]:.2f}×", text, (label(row), _cost(row, engine, report))


def _cost(row: Measurement, engine: str, report: BenchReport) -> str:
    agreed = report.agreement_of(engine, report.baselines[0], row)
    if agreed is None:
        return ""
    worst = "" if agreed.mask_iou_worst is None else f", worst mask IoU {agreed.mask_iou_worst:.3f}"
    return f"{agreed.class_map:.2%} of pixels equal{worst}"


def _measurement(row: Measurement, report: BenchReport) -> str:
    medians = {name: times.median_ms / 1000 for name, times in row.times.items()}
    notes = {name: f"{share:.0%} of the machine's rate" for name, share in row.share_of_limit.items()}
    for engine, found in row.ratios.items():
        of = f" of {engine.removeprefix('wordmask ')}" if len(row.ratios) > 1 else ""
        for name, ratio in found.items():
            notes[name] = ", ".join(filter(None, (notes.get(name), f"{ratio:.2f}×{of}")))
    return _bars(label(row), medians, report, notes)


def three_digits(value: float) -> str:
    """A value to three significant digits, all of them shown: 11.9, 0.532, 0.0120; thousands as whole numbers."""
    rounded = float(f"{value:.2e}")
    decimals = 2 - math.floor(math.log10(rounded)) if rounded > 0 else 2
    return f"{rounded:,.{max(0, decimals)}f}" if decimals >= 0 else f"{value:,.0f}"


def _bars(
    title: str,
    values: Mapping[str, float],
    report: BenchReport,
    notes: Mapping[str, str] | None = None,
    *,
    unit: str = "s",
) -> str:
    """One bar per side, as long as its value."""
    rows = []
    for name, value in values.items():
        kind = "ours" if name in report.engines else "theirs"
        rows.append(Bar(name, ((kind, value),), f"{three_digits(value)} {unit}", (notes or {}).get(name, "")))
    return bars(rows, caption=title)


def _throughput(report: BenchReport) -> list[str]:
    return [
        _bars(f"{row.photos} photos, {row.windows} windows", row.images_per_second, report, unit="images/s")
        for row in report.throughput
    ]


def _gpu(report: BenchReport) -> list[str]:
    found = {side.name: side.gpu_mb for side in report.sides if side.gpu_mb is not None}
    return [_bars("memory of the GPU", found, report, unit="MB")] if found else []


def _cold_start(report: BenchReport) -> str:
    """One bar per side, made of the phases in their order."""
    rows = [
        Bar(
            side.name,
            tuple((f"phase{number}", side.cold_start[phase]) for number, phase in enumerate(PHASES)),
            f"{three_digits(side.cold_start['total'])} s",
        )
        for side in report.sides
    ]
    names = [(f"phase{number}", phase.replace("_", " ")) for number, phase in enumerate(PHASES)]
    return legend(names) + bars(rows, most=max(side.cold_start["total"] for side in report.sides))


def _statistics(report: BenchReport) -> str:
    rows = [
        (label(row), name, f"{times.runs}", *(three_digits(getattr(times, key) / 1000) for key in STATISTICS))
        for row in report.measurements
        for name, times in row.times.items()
    ]
    head = ("what", "side", "runs", *(name.removesuffix("_ms") for name in STATISTICS))
    return f"<details><summary>Show</summary>{table(head, rows, text_columns=2)}</details>\n"
