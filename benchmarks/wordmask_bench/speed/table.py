"""A benchmark's figures as text for the terminal."""

from __future__ import annotations

from wordmask_bench.machine.markdown import markdown_table
from wordmask_bench.speed.report import Agreement, BenchReport, Measurement

STAGES = {
    "photo": "photo",
    "clip": "CLIP",
    "loftup": "LoftUp",
    "class_map": "class map",
    "prompts": "prompts",
    "sam2_encoder": "SAM2 encoder",
    "sam2_decoder": "SAM2 decoder",
    "masks": "masks",
    "words": "text embedding of a word",
}


def table(report: BenchReport) -> str:
    """The figures as Markdown."""
    sides = [side.name for side in report.sides]
    rows = [(label(row), *(_cell(row, name) for name in sides)) for row in report.measurements]
    lines = markdown_table(("median ms (p95)", *sides), rows)
    legend = ["%: share of the machine's rate of matrix products; x: times wordmask's median (of each of its devices)"]
    agreed = [agreement_line(row) for row in report.agreement]
    return "\n".join([*lines, *legend, "", *_sides(report), "", *agreed, "", *about(report)])


def _cell(row: Measurement, name: str) -> str:
    if name not in row.times:
        return ""
    times = row.times[name]
    notes = [f"{row.share_of_limit[name]:.0%}"] if name in row.share_of_limit else []
    notes += [f"{found[name]:.2f}x" for found in row.ratios.values() if name in found]
    return " ".join([f"{times.median_ms:.1f} ({times.p95_ms:.1f})", *notes])


def label(row: Measurement) -> str:
    """Name of a measurement for people."""
    parts = [f"{STAGES[row.name]}: {row.photo}" if row.name == "photo" else STAGES.get(row.name, row.name)]
    if row.windows:
        parts.append(f"{row.windows} window{'s' if row.windows > 1 else ''}")
    if row.prompts:
        parts.append(f"{row.prompts} prompts")
    return ", ".join(parts)


def _sides(report: BenchReport) -> list[str]:
    lines = []
    for side in report.sides:
        cold = side.cold_start
        gpu = f", {side.gpu_mb:.0f} MB of the GPU" if side.gpu_mb is not None else ""
        lines.append(
            f"{side.name} ({side.precision}): peak memory {side.peak_mb:.0f} MB{gpu}; cold start {cold['total']:.2f} s "
            f"(start {cold['start']:.2f}, import {cold['import']:.2f}, load {cold['load']:.2f}, "
            f"first photo {cold['first_photo']:.2f})"
        )
    for row in report.throughput:
        found = ", ".join(f"{name} {rate:.3f}" for name, rate in row.images_per_second.items())
        lines.append(f"images/s over {row.photos} photos, {row.windows} windows: {found}")
    return lines


def agreement_line(row: Agreement) -> str:
    """Agreement of a side's results with a baseline's, as one line."""
    windows = f"{row.windows} window{'s' if row.windows > 1 else ''}"
    text = f"{row.side} against {row.baseline}, {row.photo}, {windows}: class map {row.class_map:.2%} of pixels equal"
    text += f" ({row.classes} class{'es' if row.classes > 1 else ''} in it)"
    if row.mask_iou_mean is None or row.mask_iou_worst is None:
        return text
    return f"{text}, mask IoU mean {row.mask_iou_mean:.4f}, worst {row.mask_iou_worst:.4f} of {row.prompts}"


def about(report: BenchReport) -> list[str]:
    """Machine, method and models of the measurement, one line each."""
    subject, machine, effort = report.subject, report.machine, report.effort
    rates = ", ".join(f"{name} {rate:.0f} GFLOP/s" for name, rate in report.rates.items())
    lines = [
        f"{machine.cpu}, {subject.threads} of {machine.cores} cores, {machine.memory_gib} GiB"
        + (f"; {machine.gpu}" if machine.gpu else "")
        + f"; matrix products {rates}",
        f"warm-up {effort.warm_up:g} s, at least {effort.runs} runs and {effort.seconds:g} s; sides took turns",
        f"bundle {subject.bundle}, {', '.join(subject.models.values())}, {subject.words} words, "
        f"prompts: {subject.prompt_source}",
    ]
    if subject.domain == "random":
        lines.append("weights are random: times hold, masks mean nothing")
    return lines
