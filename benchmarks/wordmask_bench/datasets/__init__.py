"""Published datasets with labels: their files on disk, label codings, class names and protocols."""

from __future__ import annotations

from wordmask.errors import WordmaskError


class DatasetError(WordmaskError, ValueError):
    """A labelled dataset is not there, or its files are not as published."""
