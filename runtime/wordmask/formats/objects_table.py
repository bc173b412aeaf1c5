"""A result's objects as rows, for tables and JSON, and as a page's fragment for notebooks."""

from __future__ import annotations

import base64
from collections import Counter
from html import escape
from typing import Any

from wordmask.formats.terminal import printable
from wordmask.formats.word_colours import Colour, hex_colour, word_colours
from wordmask.types import Instance, Segmentation

COLUMNS = ("word", "class_id", "score", "x0", "y0", "x1", "y1", "area", "clip_confidence", "sam_iou", "agreement")
MOST_WORDS = 10  # in a summary
MOST_ROWS = 50  # in a notebook
_CELL = "text-align: left; padding: 1px 10px"


def object_row(instance: Instance) -> dict[str, Any]:
    """An object's numbers by the names of COLUMNS."""
    kept = (instance.clip_confidence, instance.sam_iou, instance.agreement)
    values = (instance.word, instance.class_index, instance.score, *instance.box, instance.area, *kept)
    return dict(zip(COLUMNS, values, strict=True))


def summary(result: Segmentation) -> str:
    """One line: the number of objects, of each word, and the photo's width and height."""
    height, width = result.semantic.shape
    counts = Counter(instance.class_index for instance in result.instances)
    named = [f"{counts[i]} {printable(' '.join(result.words[i].split()))}" for i in sorted(counts)]
    more = [f"{len(named) - MOST_WORDS} more words"] if len(named) > MOST_WORDS else []
    total = len(result.instances)
    objects = f"{total or 'no'} object{'' if total == 1 else 's'}"
    words = ", ".join([*named[:MOST_WORDS], *more])
    return f"{objects}{words and f': {words}'}; {width}x{height}"


def notebook_html(result: Segmentation, picture: bytes | None) -> str:
    """The summary, a picture and a table of the objects, best first.

    Args:
        result: what was found.
        picture: a JPEG; None where there is none.
    """
    parts = [f"<p>{escape(summary(result))}</p>"]
    if picture is not None:
        data = base64.b64encode(picture).decode()
        parts.append(f'<img alt="the photo with its objects" src="data:image/jpeg;base64,{data}">')
    if result.instances:
        heads = "".join(f'<th style="{_CELL}">{name}</th>' for name in ("", "word", "score", "box", "pixels"))
        colours = word_colours(result.words)
        rows = "".join(_html_row(each, colours[each.class_index]) for each in result.instances[:MOST_ROWS])
        parts.append(f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>")
    if len(result.instances) > MOST_ROWS:
        parts.append(f"<p>and {len(result.instances) - MOST_ROWS} more</p>")
    return "".join(parts)


def _html_row(instance: Instance, colour: Colour) -> str:
    x0, y0, x1, y1 = instance.box
    swatch = f'<span style="color: {hex_colour(colour)}">&#9632;</span>'
    texts = (escape(instance.word), f"{instance.score:.2f}", f"({x0}, {y0}) to ({x1}, {y1})", f"{instance.area:,}")
    return "<tr>" + "".join(f'<td style="{_CELL}">{text}</td>' for text in (swatch, *texts)) + "</tr>"
