"""The figures of a labelled dataset as Markdown and for JSON."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from wordmask_bench.datasets.protocol import SCLIP_STRIDE, SCLIP_WINDOW
from wordmask_bench.machine.markdown import markdown_table
from wordmask_bench.quality.dataset import DatasetReport
from wordmask_bench.quality.metrics import without_nan

TITLES = {
    "bilinear": "bilinear",
    "loftup": "LoftUp",
    "masks": "labelled masks",
    "masks_over_dense": "masks over the dense map",
}
ROWS = {
    "miou": "mIoU",
    "miou_occurring": "mIoU of classes that occur",
    "boundary_iou": "boundary IoU",
    "accuracy": "pixels right",
    "small_recall": "regions under 24 px found",
}


def table(report: DatasetReport) -> str:
    """The figures as Markdown: all classes together, then the IoU of each class that occurs or was predicted."""
    kinds = list(report.maps)
    titles = [TITLES[kind] for kind in kinds]
    rows = [(name, *(_figure(getattr(report.maps[kind], key)) for kind in kinds)) for key, name in ROWS.items()]
    lines = markdown_table((f"{report.dataset}, {report.photos} photos", *titles), rows)
    classes = {name: [report.maps[kind].per_class[name] for kind in kinds] for name in report.per_class}
    occurring = [(name, *map(_figure, values)) for name, values in classes.items() if not all(map(math.isnan, values))]
    lines += ["", *markdown_table(("IoU of", *titles), occurring)]
    settings = report.settings
    lines += ["", f"Median time of a photo: {report.seconds:.2f} s", f"Protocol: {_protocol(report)}"]
    if (settings.window, settings.stride) != (SCLIP_WINDOW, SCLIP_STRIDE):
        lines.append(f"This is not SCLIP's protocol: its windows are {SCLIP_WINDOW}, {SCLIP_STRIDE} apart")
    return "\n".join(lines)


def to_dict(report: DatasetReport) -> dict[str, Any]:
    """The figures for JSON; those that do not exist are null."""
    row: dict[str, Any] = without_nan(dataclasses.asdict(report))
    return row


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _protocol(report: DatasetReport) -> str:
    settings = report.settings
    parts = [
        f"short side {settings.short_side}",
        f"windows {settings.window}, {settings.stride} apart",
        f"logit scale {settings.logit_scale:g}",
    ]
    if settings.min_probability:
        parts.append(f"pixels under {settings.min_probability:g} are background")
    if settings.min_area is not None:
        parts.append(f"classes of no more than {settings.min_area:g} of the foreground are dropped")
    if settings.upsample:
        parts.append(f"LoftUp {settings.upsample}")
    return ", ".join(parts)
