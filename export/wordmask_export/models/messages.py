"""Messages about progress."""

from __future__ import annotations

import sys


def log(text: str) -> None:
    """Writes a message about the progress to stderr."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
