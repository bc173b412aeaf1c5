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


@cache
def warn_of_domain(bundle_id: str, domain: str) -> None:
    """Warns about the masks of a bundle that was not trained on photos, once per bundle; for the caller's caller."""
    if domain in DOMAINS:
        warnings.warn(DOMAINS[domain], WordmaskWarning, stacklevel=3)


@cache
def warn_of_features(bundle_id: str, domain: str) -> None:
    """The same about the features of a bundle with random weights."""
    if domain == "random":
        warnings.warn("this bundle has random weights: its features mean nothing", WordmaskWarning, stacklevel=3)
