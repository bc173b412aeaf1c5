"""What a user should know of a photo's result."""

from __future__ import annotations

from collections.abc import Sequence

from wordmask.types import Options, Segmentation


def remarks(notes: Sequence[str], result: Segmentation, options: Options) -> list[str]:
    """The decoder's notes, and the reason if there is no mask."""
    return [*notes, *([] if result.instances else [nothing_found(result, options)])]


def best_words(result: Segmentation) -> str:
    """The five words of highest confidence."""
    best = sorted(zip(result.word_confidence, result.words, strict=True), reverse=True)[:5]
    return ", ".join(f"{word} {confidence:.2f}" for confidence, word in best)


def nothing_found(result: Segmentation, options: Options) -> str:
    """Why there is no mask, and which option would have let one through."""
    min_confidence = options.min_confidence
    found = f"nothing found; best confidence: {best_words(result)}"
    if max(result.word_confidence) <= min_confidence:
        return f"{found}; --min-confidence is {min_confidence:g}"
    if not (result.confidence[result.dense > 0] > min_confidence).any():
        return f"{found}; but words of the --background are more probable there"
    if result.prompt_count:
        return f"{found}; no mask agrees with its word as much as --min-score {options.min_score:g} asks"
    least = "--min-region-size" if options.min_region_size is None else f"--min-region-size {options.min_region_size}"
    return f"{found}; no region above --min-confidence {min_confidence:g} has {least} pixels"
