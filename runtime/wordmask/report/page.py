"""The frame of every HTML page that wordmask writes: common style, one file, nothing is downloaded.

The Content-Security-Policy allows only styles and scripts whose hashes it lists, so that a word or a file name that was
not escaped could not run as code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any


def page(
    title: str,
    body: str,
    *,
    styles: Sequence[str] = (),
    scripts: Sequence[str] = (),
    data: Iterable[Any] = (),
    images: str = "data:",
) -> bytes:
    """A page as the bytes of a file.

    Args:
        title: plain text.
        body: HTML, without style attributes and handlers: the policy would refuse them.
        styles: beside the common one.
        scripts: run in this order, at the page's end.
        data: for the scripts: values that JSON can hold, a line each, in the element #data.
        images: allowed sources of images: the policy's img-src.
    """
    style, script = "\n".join([asset("page.css"), *styles]), "\n".join(scripts)
    if "</" in style + script or "<!--" in script:
        raise ValueError("a style or script holds '</' or '<!--', which would end it inside HTML")
    policy = {
        "default-src": "'none'",
        "style-src": _csp_hash(style),
        "script-src": _csp_hash(script) if script else "'none'",
        "img-src": images,
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    rules = "; ".join(f"{name} {value}" for name, value in policy.items())
    lines = "\n".join(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c") for value in data)
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n',
        f'<meta http-equiv="Content-Security-Policy" content="{escape(rules)}">\n',
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
        f"<title>{escape(title)}</title>\n<style>{style}</style></head>\n<body>\n{body}",
        f'<script type="application/json" id="data">{lines}</script>\n' if lines else "",
        f"<script>{script}</script>\n" if script else "",
        "</body></html>\n",
    ]
    return "".join(parts).encode("utf-8", "replace")  # a file name may be no Unicode


def asset(name: str, package: str = "wordmask.report") -> str:
    """A style or script from a package's data folder."""
    return files(package).joinpath("assets", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def masthead(title: str, subtitle: str, *, warning: str = "") -> str:
    """A page's head; all plain text."""
    note = f'<p class="warning" role="note">{escape(warning)}</p>' if warning else ""
    return f'<header class="masthead"><h1>{escape(title)}</h1><p>{escape(subtitle)}</p>{note}</header>\n'


def section(title: str, parts: Iterable[str]) -> str:
    """HTML under a plain heading; an empty string if there is no HTML."""
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>\n" if content else ""


def cards(facts: Iterable[tuple[str, str, Sequence[str]]]) -> str:
    """Key figures: each in large type, with its label and some notes; all plain text."""
    shown = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(what)}</span>'
        f"{''.join(f'<small>{escape(note)}</small>' for note in notes)}</div>\n"
        for figure, what, notes in facts
    )
    return f'<div class="cards">{shown}</div>\n'


def bullets(lines: Iterable[str]) -> str:
    """A list of plain lines; an empty string if there are none."""
    items = "".join(f"<li>{escape(line)}</li>\n" for line in lines)
    return f"<ul>\n{items}</ul>\n" if items else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text_columns: int = 1) -> str:
    """A table of plain text; columns after the first `text_columns` hold figures and are right-aligned."""

    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="figure"' if i >= text_columns else "" for i in range(len(cells))]
        inner = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True))
        return f"<tr>{''.join(inner)}</tr>\n"

    content = "".join(line(row, "td") for row in rows)
    return f'<div class="wide"><table><thead>{line(head, "th")}</thead>\n<tbody>{content}</tbody></table></div>\n'


def slider(before: str, after: str, *, names: tuple[str, str], about: str) -> str:
    """Two pictures of one size, split by a slider: the first to its left, the second to its right (see slider.js).

    Args:
        before: the first one's address. after: the second one's.
        names: what they show.
        about: what both are of.
    """
    left, right = map(escape, names)
    return (
        '<div class="slider"><div class="frame">'
        f'<img class="before" src="{escape(before)}" alt="{escape(about)}, {left}">'
        f'<img class="after" src="{escape(after)}" alt="{escape(about)}, {right}"><i class="divider"></i></div>\n'
        f'<label class="sweep"><span>{left}</span><input type="range" min="0" max="100" value="50" step="1" '
        f'aria-label="{escape(about)}: {left} up to here, then {right}"><span>{right}</span></label></div>\n'
    )
