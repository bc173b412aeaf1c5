"""The table of speed in docs/bench.md, made from the benchmarks' JSON files, so that no figure is typed by hand.

python -m wordmask_bench.speed.results_table docs/bench.md
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from wordmask_bench.machine.markdown import markdown_table
from wordmask_bench.speed.report import BenchReport, Measurement, read_report

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
RESULTS, PATTERN = Path("benchmarks") / "results", "bench-*.json"
HEAD = ("photo", "windows, prompts", "device", "wordmask, s", "PyTorch eager", "fastest form", "same class",
        "mask IoU, worst")  # fmt: skip
NONE = "No figures stand here yet; `wordmask bench` measures them."


def speed_table(reports: Sequence[BenchReport]) -> str:
    """The table as Markdown, with a note on the machine and the models."""
    if not reports:
        return NONE
    rows = [
        _row(row, engine, report)
        for report in reports
        for row in report.measurements
        if row.name == "photo"
        for engine in report.engines
    ]
    notes = dict.fromkeys(_note(report) for report in reports)
    return "\n".join([*markdown_table(HEAD, rows), "", "\n\n".join(notes)])


def _row(row: Measurement, engine: str, report: BenchReport) -> list[str]:
    seconds = {name: times.median_ms / 1000 for name, times in row.times.items()}
    forms = {name: seconds[name] for name in report.baselines if name != "eager"}
    fastest = min(forms, key=lambda name: forms[name], default=None)
    return [
        row.photo,
        f"{row.windows}, {row.prompts}",
        engine.removeprefix("wordmask "),
        f"{seconds[engine]:.2f}",
        _other(seconds, "eager", engine) if "eager" in seconds else "",
        f"{fastest}: {_other(seconds, fastest, engine)}" if fastest else "",
        *_agreement(row, engine, report),
    ]


def _other(seconds: dict[str, float], name: str, engine: str) -> str:
    return f"{seconds[name]:.2f} ({seconds[name] / seconds[engine]:.2f}x)"


def _agreement(row: Measurement, engine: str, report: BenchReport) -> tuple[str, str]:
    """Agreement with PyTorch eager, or with the first other baseline."""
    baseline = "eager" if "eager" in report.baselines else report.baselines[0]
    found = report.agreement_of(engine, baseline, row)
    if found is None:
        return "", ""
    masks = "" if found.mask_iou_mean is None else f"{found.mask_iou_mean:.4f}, {found.mask_iou_worst:.4f}"
    return f"{found.class_map:.2%}", masks


def _note(report: BenchReport) -> str:
    machine, subject, effort = report.machine, report.subject, report.effort
    weights = " with random weights" if subject.domain == "random" else ""
    peaks = ", ".join(f"{side.name} {side.peak_mb / 1024:.1f} GiB" for side in report.sides)
    gpu = f", {machine.gpu}" if machine.gpu else ""
    runs = [times.runs for row in report.measurements if row.name == "photo" for times in row.times.values()]
    return (
        f"{', '.join(subject.models.values())}{weights} on {machine.cpu}{gpu}, {subject.threads} cores, {report.date}: "
        f"medians of {min(runs)} runs or more after {effort.warm_up:g} s of warm-up, the sides in turn. "
        f"In brackets, how many times wordmask's time. Peak memory: {peaks}."
    )


def renewed(text: str, table: str, begin_mark: str = BEGIN, end_mark: str = END) -> str:
    """Replaces the table between the markers of a Markdown text.

    Raises:
        ValueError: the markers do not occur once each and in order.
    """
    before, begin, rest = text.partition(begin_mark)
    _, end, after = rest.partition(end_mark)
    if not begin or not end or begin_mark in after or end_mark in after:
        raise ValueError(f"expected a text with {begin_mark} and {end_mark} once each, around the table")
    return f"{before}{begin_mark}\n{table}\n{end_mark}{after}"


def committed(root: Path) -> list[BenchReport]:
    """The reports in a checkout, sorted by file name."""
    return [read_report(path) for path in sorted((root / RESULTS).glob(PATTERN))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(
        prog="wordmask_bench.speed.results_table", description="Renew the table of speed in docs/bench.md."
    )
    parser.add_argument("page", type=Path, help="in docs of a checkout, whose benchmarks/results are read")
    page: Path = parser.parse_args(arguments).page
    table = speed_table(committed(page.resolve().parents[1]))
    page.write_text(renewed(page.read_text(encoding="utf-8"), table), encoding="utf-8")


if __name__ == "__main__":
    main()
