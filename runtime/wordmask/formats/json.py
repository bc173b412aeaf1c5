"""JSON as bytes of a file."""

from __future__ import annotations

import json
from typing import Any


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """JSON in UTF-8 with a newline; a file name that is no UTF-8 keeps its bytes as escapes."""
    try:
        return (json.dumps(value, indent=indent, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode()
