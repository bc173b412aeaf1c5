"""Warnings about bundles whose weights were not trained on photos, by the manifest's `domain`."""

from __future__ import annotations

import warnings
from functools import cache

from wordmask.errors import WordmaskWarning

DOMAINS = {
    "random": "this bundle has random weights: its masks mean nothing",
    "synthetic": "this bundle was trained on synthetic scenes: its masks of real photos are not reliable",
}
TRAINED_ON = {"photos": "trained on photos", "synthetic": "trained on synthetic scenes", "random": "random weights"}
WARNINGS = {domain: f"{text[0].upper()}{text[1:]}." for domain, text in DOMAINS.items()}  # as sentences, for pages

FEATURES = {"random": "this bundle has random weights: its features mean nothing"}


@cache
def warn_of_weights(bundle_id: str, text: str | None) -> None:
    """Issues the WordmaskWarning of a bundle's domain, once per bundle and process, at the caller's caller."""
    if text is not None:
        warnings.warn(text, WordmaskWarning, stacklevel=3)
