"""Markdown tables of quantities that span many orders of magnitude."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wordmask_bench.machine.markdown import markdown_table

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
_SIZES = ("B", "KB", "MB", "GB", "TB", "PB", "EB")
_AMOUNTS = ((1e9, " billion"), (1e6, " million"))


def table(heading: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table under a heading of the third level."""
    return "\n".join([f"### {heading}", "", *markdown_table(head, rows)])


def size(count: float) -> str:
    """A number of bytes with two or three digits and a decimal unit."""
    power = 0
    while count >= 999.5 and power < len(_SIZES) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.2g} {_SIZES[power]}" if count < 10 else f"{count:.0f} {_SIZES[power]}"


def amount(count: float) -> str:
    """A count with three digits; millions and billions are written as words."""
    for unit, name in _AMOUNTS:
        if count >= 0.9995 * unit:
            return f"{count / unit:.3g}{name}"
    return f"{count:,.0f}" if count >= 100 or count == int(count) else f"{count:.3g}"


def counted(count: float, unit: str) -> str:
    """A count with its unit in the singular or plural, such as `1 GPU` or `24 GPUs`."""
    return f"{amount(count)} {unit if count == 1 else unit + 's'}"
