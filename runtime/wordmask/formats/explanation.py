"""Why a photo has no mask."""

from __future__ import annotations

from wordmask.types import Options, Segmentation


def nothing_found(result: Segmentation, options: Options) -> str:
    """Why there is no mask, and which option would have let one through."""
    min_confidence = options.min_confidence
    best = sorted(zip(result.word_confidence, result.words, strict=True), reverse=True)
    found = "nothing found; best confidence: " + ", ".join(f"{word} {confidence:.2f}" for confidence, word in best[:5])
    if best[0][0] <= min_confidence:
        return f"{found}; --min-confidence is {min_confidence:g}"
    if not (result.confidence[result.dense > 0] > min_confidence).any():
        return f"{found}; but words of the --background are more probable there"
    if result.prompt_count:
        return f"{found}; no mask agrees with its word as much as --min-score {options.min_score:g} asks"
    least = "--min-region-size" if options.min_region_size is None else f"--min-region-size {options.min_region_size}"
    return f"{found}; no region above --min-confidence {min_confidence:g} has {least} pixels"
