"""Names of the files in a run's output folder."""

from __future__ import annotations

from wordmask.photo.folders import CONVERTED, JOURNAL, RUN  # the first is in every folder that `wordmask convert` made

__all__ = ["CONVERTED", "JOURNAL", "RUN"]  # handed on
SHARDS = "annotations"  # folder of one JSON file per photo, which annotations.json joins
ANNOTATIONS, REPORT = "annotations.json", "report.html"
REPORT_PICTURES = {  # reduced to the size that the report shows
    "report_assets/thumbs": ".jpg",
    "report_assets/photos": ".jpg",
    "report_assets/maps": ".png",
    "report_assets/bilinear": ".png",
}
CLASS_MAPS, ENCODINGS, BILINEAR_MAPS = (f"intermediate/{kind}" for kind in ("class_maps", "encodings", "bilinear_maps"))
INTERMEDIATE = (CLASS_MAPS, ENCODINGS, BILINEAR_MAPS)  # what is kept of a photo before its prompts
FILES = {
    "semantic": ".png",
    "dense": ".png",
    "bilinear": ".png",
    "confidence": ".png",
    "overlay": ".jpg",
    SHARDS: ".json",
    **REPORT_PICTURES,
    **dict.fromkeys(INTERMEDIATE, ".kept"),
}
TOTALS = (ANNOTATIONS, RUN, REPORT)


def output_paths(name: str) -> dict[str, str]:
    """Paths of a photo's outputs by kind, relative to the output folder, with slashes."""
    return {kind: f"{kind}/{name}{suffix}" for kind, suffix in FILES.items()}
