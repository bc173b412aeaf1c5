"""Where a run's outputs stand in its folder."""

from __future__ import annotations

SHARDS = "annotations"  # the photos' own annotations, which annotations.json is put together from
FILES = {"semantic": ".png", "dense": ".png", "confidence": ".png", "overlay": ".jpg", SHARDS: ".json"}
TOTALS = ("annotations.json", "run.json")
JOURNAL = "journal.jsonl"


def places(name: str) -> dict[str, str]:
    """The places of a photo's outputs by kind, relative to the output folder, with slashes."""
    return {kind: f"{kind}/{name}{suffix}" for kind, suffix in FILES.items()}
