"""Charts of the pages, as HTML and SVG whose sizes are attributes: a strict policy allows no inline styles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Bar:
    """A bar of one or several parts, one after another.

    Attributes:
        label: what it stands for.
        parts: values, each with a class of page.css (`ours`, `theirs`, `phase0`, ...) or a colour (`#c0ffee`).
        shown: the value as text.
        note: small text after it.
    """

    label: str
    parts: tuple[tuple[str, float], ...]
    shown: str
    note: str = ""

    @property
    def value(self) -> float:
        """The parts together."""
        return sum(value for _, value in self.parts)


def bars(rows: Sequence[Bar], *, caption: str = "", most: float | None = None) -> str:
    """Bars below each other; an empty string if there are none.

    Args:
        rows: the bars.
        caption: plain text.
        most: the value that fills the width; the largest one by default.
    """
    if not rows:
        return ""
    most = most or max(row.value for row in rows) or 1.0
    title = f"<figcaption>{escape(caption)}</figcaption>\n" if caption else ""
    return f'<figure class="bars">{title}{"".join(_row(row, most) for row in rows)}</figure>\n'


def _row(row: Bar, most: float) -> str:
    left, rects = 0.0, []
    for kind, value in row.parts:
        width = 100 * value / most
        rects.append(f'<rect {_look(kind)} x="{left:.2f}%" width="{width:.2f}%" height="100%"/>')
        left += width
    note = f" <small>{escape(row.note)}</small>" if row.note else ""
    return (
        f'<div class="row"><span class="label" title="{escape(row.label)}">{escape(row.label)}</span>'
        f'<svg class="track" aria-hidden="true">{"".join(rects)}</svg><span>{escape(row.shown)}{note}</span></div>\n'
    )


def _look(kind: str) -> str:
    return f'fill="{escape(kind)}"' if kind.startswith("#") else f'class="{escape(kind)}"'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """What the parts of bars stand for: pairs of a class or colour and its plain meaning."""
    shown = "".join(
        f'<span><svg aria-hidden="true"><rect {_look(kind)} width="100%" height="100%"/></svg> {escape(meaning)}</span>'
        for kind, meaning in entries
    )
    return f'<p class="legend">{shown}</p>\n'


def histogram(counts: Sequence[int], *, first: float, last: float, of: str) -> str:
    """Columns of equal width between two values, each with its range and count as a tooltip.

    Args:
        counts: a column each.
        first: where the first column begins. last: where the last one ends.
        of: what is counted, in the plural.
    """
    most, step = max(counts, default=0) or 1, (last - first) / max(len(counts), 1)
    width, height = 400 / max(len(counts), 1), 120
    shapes = []
    for i, count in enumerate(counts):
        tall = height * count / most
        label = f"{first + i * step:.2f} to {first + (i + 1) * step:.2f}: {count:,} {of}"
        shapes.append(
            f'<rect class="ours" x="{i * width + 1:.1f}" y="{height - tall:.1f}" width="{width - 2:.1f}" '
            f'height="{tall:.1f}"><title>{escape(label)}</title></rect>'
        )
    for share, anchor in ((0.0, "start"), (0.25, "middle"), (0.5, "middle"), (0.75, "middle"), (1.0, "end")):
        value = first + share * (last - first)
        shapes.append(f'<text x="{400 * share:g}" y="{height + 18}" text-anchor="{anchor}">{value:g}</text>')
    about = f"{sum(counts):,} {of} from {first:g} to {last:g}, at most {max(counts, default=0):,} in a column"
    return (
        f'<svg class="histogram" viewBox="0 0 400 144" role="img" aria-label="{escape(about)}">'
        f'<path class="axis" d="M0 {height}h400"/>{"".join(shapes)}</svg>\n'
    )
