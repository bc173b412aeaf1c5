"""Why a photo has no mask."""

from __future__ import annotations

from wordmask.types import Segmentation


def nothing_found(result: Segmentation, min_confidence: float, min_region_size: int) -> str:
    """Why there is no mask, and which option would have let one through."""
    best = sorted(zip(result.word_confidence, result.words, strict=True), reverse=True)
    found = "nothing found; best confidence: " + ", ".join(f"{word} {confidence:.2f}" for confidence, word in best[:5])
    if best[0][0] <= min_confidence:
        return f"{found}; --min-confidence is {min_confidence:g}"
    if not (result.confidence[result.dense > 0] > min_confidence).any():
        return f"{found}; but words of the --background are more probable there"
    return (
        f"{found}; no region above --min-confidence {min_confidence:g} has --min-region-size {min_region_size} pixels"
    )
