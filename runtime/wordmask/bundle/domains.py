"""Warnings about bundles whose weights were not trained on photos, by the manifest's `domain`."""

from __future__ import annotations

DOMAINS = {
    "random": "this bundle has random weights: its masks mean nothing",
    "synthetic": "this bundle was trained on synthetic scenes: its masks of real photos are not reliable",
}
TRAINED_ON = {"photos": "trained on photos", "synthetic": "trained on synthetic scenes", "random": "random weights"}
WARNINGS = {domain: f"{text[0].upper()}{text[1:]}." for domain, text in DOMAINS.items()}  # as sentences, for pages
