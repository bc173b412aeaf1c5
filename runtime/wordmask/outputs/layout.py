"""Where a run's outputs stand in its folder."""

from __future__ import annotations

SHARDS = "annotations"  # the photos' own annotations, which annotations.json is put together from
REPORT = "report.html"
REPORT_PICTURES = {  # at the size a page can take
    "report_assets/thumbs": ".jpg",
    "report_assets/photos": ".jpg",
    "report_assets/maps": ".png",
    "report_assets/bilinear": ".png",
}
FILES = {
    "semantic": ".png",
    "dense": ".png",
    "bilinear": ".png",
    "confidence": ".png",
    "overlay": ".jpg",
    SHARDS: ".json",
    **REPORT_PICTURES,
}
TOTALS = ("annotations.json", "run.json", REPORT)
JOURNAL = "journal.jsonl"


def places(name: str) -> dict[str, str]:
    """The places of a photo's outputs by kind, relative to the output folder, with slashes."""
    return {kind: f"{kind}/{name}{suffix}" for kind, suffix in FILES.items()}
