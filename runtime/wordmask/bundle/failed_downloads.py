"""Recognises what a failed download leaves under a file's name."""

from __future__ import annotations

from pathlib import Path


def what_is(path: Path) -> str:
    """A hint to put behind "this file is not what was expected"; empty where nothing is known."""
    try:
        with path.open("rb") as stream:
            head = stream.read(64).lstrip().lower()
    except OSError:
        return ""
    if head.startswith(b"version https://git-lfs"):
        return " (it is a Git LFS pointer: run `git lfs pull`)"
    if head.startswith((b"<!doctype", b"<html")):
        return " (it is a web page)"
    return ""
