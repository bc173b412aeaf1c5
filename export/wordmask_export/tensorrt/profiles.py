"""Which sizes engines are built for: optimisation profiles of every graph, by the symbols of its interface."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

from wordmask.bundle.engines import ROWS, Profile, Range
from wordmask.bundle.manifest import HALO, MIN_TILE, GraphEntry, Manifest

WINDOWS = (1, 2, 4, 6, 8, 10)  # buckets of B: windows of a square photo are 4, of 4:3 6, of 3:2 8, of 16:9 10
PHOTOS = [1]  # buckets of B of SAM2's encoder, which the runtime gives one photo at a time
PROMPTS = (8, 16, 32, 64)  # buckets of N
TEXTS = 64  # prompts the runtime embeds in one run; see wordmask.text.embedder
POINTS = Range(1, 1, 16)
WORDS = Range(1, 32, 512)
TOKENS = 16  # a template around a word of usual length


def profiles(manifest: Manifest, *, max_batch: int, max_prompts: int) -> dict[str, tuple[Profile, ...]]:
    """The profiles of every graph: one for each bucket of rows, smallest first.

    Rows (symbols B, N, T) are fixed in a profile: the runtime pads them up to the next bucket. All other symbols range,
    or are fixed by the bundle's window and patch.

    Args:
        manifest: the bundle's.
        max_batch: windows in the largest batch.
        max_prompts: SAM2 prompts in the largest batch.

    Returns:
        By graph, a profile for each bucket.

    Raises:
        ValueError: max_batch or max_prompts is not positive, or a graph has a symbol of unknown meaning.
    """
    for name, value in (("max_batch", max_batch), ("max_prompts", max_prompts)):
        if value < 1:
            raise ValueError(f"{name} is {value}: it must be at least 1")
    buckets = {
        "B": _up_to(max_batch, WINDOWS),
        "N": _up_to(max_prompts, PROMPTS),
        "T": [TEXTS],
    }
    sizes = _ranges(manifest)
    found = {name: _of_graph(name, entry, buckets, sizes) for name, entry in manifest.graphs.items()}
    encoder = manifest.graphs["sam2_encoder"]
    return {**found, "sam2_encoder": _of_graph("sam2_encoder", encoder, {**buckets, "B": PHOTOS}, sizes)}


def _up_to(most: int, buckets: tuple[int, ...]) -> list[int]:
    """The buckets below the largest one, which is `most`."""
    return [*(size for size in buckets if size < most), most]


def _ranges(manifest: Manifest) -> Profile:
    """The sizes of all symbols but the rows."""
    clip = manifest.clip
    grid, side = clip.window // clip.patch, clip.window + 2 * HALO
    return {
        "L": Range(1, min(TOKENS, clip.context_length), clip.context_length),
        "P": POINTS,
        "C": replace(WORDS, maximum=max(WORDS.maximum, clip.dim)),  # words, or a basis: wordmask.dense.similarities
        **dict.fromkeys(("H+4", "W+4"), Range(min(MIN_TILE, clip.window) + 2 * HALO, side, side)),
        **dict.fromkeys("hw", _fixed(grid)),
        "h*w": _fixed(grid * grid),
    }


def _of_graph(name: str, entry: GraphEntry, buckets: dict[str, list[int]], sizes: Profile) -> tuple[Profile, ...]:
    symbols = {size for tensor in entry.inputs for size in tensor.shape if isinstance(size, str)}
    unknown = sorted(symbols - set(buckets) - set(sizes))
    if unknown:
        raise ValueError(f"{name}: no sizes are known for {', '.join(unknown)}; this version cannot build its engine")
    rows = [symbol for symbol in ROWS if symbol in symbols]
    ranging = {symbol: sizes[symbol] for symbol in sorted(symbols - set(rows))}
    return tuple(
        {**{row: _fixed(size) for row, size in zip(rows, bucket, strict=True)}, **ranging}
        for bucket in product(*(buckets[row] for row in rows))
    )


def _fixed(size: int) -> Range:
    return Range(size, size, size)
