"""A benchmark as one page: no script, nothing fetched, every word escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files

from wordmask_bench.bench_report import Measurement, Report
from wordmask_bench.bench_table import about, agreement_line, label

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
PHASES = ("start", "import", "load", "first_photo")
STATISTICS = ("min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms")


def page(report: Report) -> str:
    """The report as HTML."""
    style = files("wordmask_bench").joinpath("data", "bench.css").read_text(encoding="utf-8")
    photos = [row for row in report.measurements if row.name == "photo"]
    stages = [row for row in report.measurements if row.name != "photo"]
    models = ", ".join(report.subject.models.values())
    sections = [
        _section("Whole photos, from file to written masks", [_measurement(row, report) for row in photos]),
        _section("Stage by stage", [_measurement(row, report) for row in stages]),
        _section("Photos a second", _throughput(report)),
        _section("Memory", [_bars("largest resident memory", _peaks(report), "MB", report), *_gpu(report)]),
        _section("Cold start, seconds", [_cold_start(report)]),
        _section("What the speed costs", [_list(agreement_line(row) for row in report.agreement)]),
        _section("How it was measured", [_list([*about(report), *_packages(report)])]),
        _section("All statistics, milliseconds", [_statistics(report)]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>wordmask bench</title>\n<style>\n{style}</style></head><body>\n"
        f"<header><h1>wordmask bench</h1><p>{escape(models)} on {escape(report.machine.cpu)}, "
        f"{report.subject.threads} of {report.machine.cores} cores, {escape(report.date)}</p></header>\n"
        f"{_cards(photos, report)}\n{''.join(sections)}</body></html>\n"
    )


def _section(title: str, parts: Iterable[str]) -> str:
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>\n" if content else ""


def _cards(photos: Sequence[Measurement], report: Report) -> str:
    """How whole photos compare with the first baseline, each with what it costs."""
    baseline = report.baselines[0]
    cards = []
    for row in photos:
        for engine, found in row.ratios.items():
            text = f"{baseline} takes {found[baseline]:.2f} times as long as {engine}"
            cards.append(
                f'<div class="card"><b>{found[baseline]:.2f}×</b><span>{escape(text)}</span>'
                f"<small>{escape(label(row))}</small><small>{escape(_cost(row, engine, report))}</small></div>\n"
            )
    return f'<div class="cards">{"".join(cards)}</div>'


def _cost(row: Measurement, engine: str, report: Report) -> str:
    wanted = engine, report.baselines[0], row.photo, row.windows
    for agreed in report.agreement:
        if (agreed.side, agreed.baseline, agreed.photo, agreed.windows) == wanted:
            worst = "" if agreed.mask_iou_worst is None else f", worst mask IoU {agreed.mask_iou_worst:.3f}"
            return f"{agreed.class_map:.2%} of pixels equal{worst}"
    return ""


def _measurement(row: Measurement, report: Report) -> str:
    medians = {name: times.median_ms for name, times in row.times.items()}
    notes = {name: f"{share:.0%} of the machine's rate" for name, share in row.share_of_limit.items()}
    for engine, found in row.ratios.items():
        of = f" of {engine}" if len(row.ratios) > 1 else ""
        for name, ratio in found.items():
            notes[name] = ", ".join(filter(None, (notes.get(name), f"{ratio:.2f}×{of}")))
    return _bars(label(row), medians, "ms", report, notes)


def _bars(
    title: str, values: Mapping[str, float], unit: str, report: Report, notes: Mapping[str, str] | None = None
) -> str:
    """A bar a side, as long as its value."""
    most = max(values.values(), default=0.0) or 1.0
    rows = []
    for name, value in values.items():
        kind = "ours" if name in report.engines else "theirs"
        note = (notes or {}).get(name, "")
        shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        rows.append(
            f'<div class="row"><span>{escape(name)}</span><div class="track"><div class="bar {kind}" '
            f'style="width:{100 * value / most:.2f}%"></div></div>'
            f"<span>{shown} {escape(unit)} <small>{escape(note)}</small></span></div>\n"
        )
    return f"<figure><figcaption>{escape(title)}</figcaption>\n{''.join(rows)}</figure>\n"


def _throughput(report: Report) -> list[str]:
    return [
        _bars(f"{row.photos} photos, {row.windows} windows", row.images_per_second, "images/s", report)
        for row in report.throughput
    ]


def _peaks(report: Report) -> dict[str, float]:
    return {side.name: side.peak_mb for side in report.sides}


def _gpu(report: Report) -> list[str]:
    found = {side.name: side.gpu_mb for side in report.sides if side.gpu_mb is not None}
    return [_bars("memory of the GPU", found, "MB", report)] if found else []


def _cold_start(report: Report) -> str:
    """A bar a side, its phases one after another."""
    most = max(side.cold_start["total"] for side in report.sides)
    rows = []
    for side in report.sides:
        parts = "".join(
            f'<div class="bar phase{number}" style="width:{100 * side.cold_start[phase] / most:.2f}%"></div>'
            for number, phase in enumerate(PHASES)
        )
        rows.append(
            f'<div class="row"><span>{escape(side.name)}</span><div class="track">{parts}</div>'
            f"<span>{side.cold_start['total']:.2f} s</span></div>\n"
        )
    legend = "".join(
        f'<span><i class="bar phase{number}"></i> {escape(phase.replace("_", " "))}</span>'
        for number, phase in enumerate(PHASES)
    )
    return f'<figure><figcaption class="legend">{legend}</figcaption>\n{"".join(rows)}</figure>\n'


def _list(lines: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<ul>\n{items}</ul>\n" if items else ""


def _packages(report: Report) -> list[str]:
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return [f"{machine.system}, Python {machine.python}, {versions}"]


def _statistics(report: Report) -> str:
    head = "".join(f"<th>{name.removesuffix('_ms')}</th>" for name in STATISTICS)
    rows = []
    for row in report.measurements:
        for name, times in row.times.items():
            cells = "".join(f"<td>{getattr(times, key):.2f}</td>" for key in STATISTICS)
            rows.append(f"<tr><td>{escape(label(row))}</td><td>{escape(name)}</td><td>{times.runs}</td>{cells}</tr>\n")
    return (
        "<details><summary>show</summary><table><thead><tr><th>what</th><th>side</th><th>runs</th>"
        f"{head}</tr></thead>\n<tbody>{''.join(rows)}</tbody></table></details>\n"
    )
