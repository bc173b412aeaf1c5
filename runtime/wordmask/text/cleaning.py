"""Text as CLIP reads it: repaired, with blanks and case made equal, and cut into chunks."""

from __future__ import annotations

import html
from functools import cache
from typing import Any

START = "<start_of_text>"
END = "<end_of_text>"
_CHUNKS = rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"


def clean(text: str) -> str:
    """The text as CLIP's authors clean it: encoding errors mended, entities replaced, one blank between, lower case."""
    if not (text.isascii() and text.isprintable()) or "&" in text:  # else there is nothing to mend or replace
        import ftfy  # noqa: PLC0415 - takes 40 ms to import

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split()).lower()


def chunks(text: str) -> list[str]:
    """What CLIP's tokenizer encodes one by one."""
    found: list[str] = _chunk_pattern().findall(clean(text))
    return found


def as_read(text: str) -> tuple[str, ...]:
    """What CLIP reads of a text, up to an end token in it: equal for two texts if CLIP cannot tell them apart."""
    found = chunks(text)
    return tuple(found[: found.index(END) + 1] if END in found else found)


@cache
def _chunk_pattern() -> Any:
    import regex  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415 - `import wordmask` does not need it

    return regex.compile(_CHUNKS, regex.IGNORECASE)
