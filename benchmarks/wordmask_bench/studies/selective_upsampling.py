"""LoftUp everywhere against LoftUp where it matters and LoftUp in one pass: speed, agreement, quality.

    python -m wordmask_bench.studies.selective_upsampling --scenes 60
    python -m wordmask_bench.studies.selective_upsampling --bundle default --images photos/ --vocabulary @words.txt

Scenes have labels, so quality is told too; photos tell agreement with the full map alone. Seconds are the processor's,
of CLIP and LoftUp together, so that a busy machine does not blur the ratio.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask.run.find_photos import find_photos
from wordmask.text.queries import Queries
from wordmask.text.vocabulary import ClassLine, Vocabulary
from wordmask.text.word_lists import class_lines
from wordmask.types import Options
from wordmask_bench.quality.scenes import FIRST_SEED, WORDS, Tally, scene_words
from wordmask_bench.scenes import Scene, generate

KINDS = {
    "full": Options(upsample="full"),
    "selective": Options(upsample="selective"),
    "image": Options(upsample="full", upsample_scope="image"),
    "image, selective": Options(upsample="selective", upsample_scope="image"),
    "bilinear": Options(use_loftup=False),
}


@dataclass
class Sum:
    """What adds up over pictures of one kind of upsampling."""

    tally: Tally = field(default_factory=Tally)
    agreement: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def compare(
    segmenter: Segmenter, pictures: Iterator[tuple[NDArray[np.uint8], Queries, Scene | None]]
) -> dict[str, Any]:
    """Figures of every kind: seconds a picture, their ratio, agreement; on scenes also mIoU and small objects found."""
    sums = {kind: Sum() for kind in KINDS}
    for image, queries, scene in pictures:
        full: NDArray[np.int32] | None = None
        for kind, options in KINDS.items():
            start = time.process_time()
            index = segmenter.class_map(image, queries, options).index
            sums[kind].seconds.append(time.process_time() - start)
            full = index if full is None else full
            sums[kind].agreement.append(float((index == full).mean()))
            if scene is not None:
                names = np.array([WORDS.index(word) for word in queries.vocabulary.names])
                sums[kind].tally.add(scene, names[index])
    return {kind: _figures(found, sums["full"]) for kind, found in sums.items()}


def _figures(found: Sum, full: Sum) -> dict[str, float]:
    figures = {
        "seconds": float(np.median(found.seconds)),
        "speed": sum(full.seconds) / sum(found.seconds),
        "agreement": float(np.mean(found.agreement)),
        "worst_agreement": min(found.agreement),
    }
    if found.tally.small:
        labelled = found.tally.figures()
        figures |= {name: labelled[name] for name in ("miou", "miou_band", "small_found")}
    return figures


def scenes(segmenter: Segmenter, count: int) -> Iterator[tuple[NDArray[np.uint8], Queries, Scene | None]]:
    """Held-out scenes, asked for their own words and others."""
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scene = generate(seed, combinations="test")
        yield scene.image, segmenter.embed(Vocabulary.parse(scene_words(scene, seed))), scene


def photos(
    segmenter: Segmenter, folder: Path, lines: Sequence[str | ClassLine]
) -> Iterator[tuple[NDArray[np.uint8], Queries, Scene | None]]:
    """The photos of a folder."""
    queries = segmenter.embed(Vocabulary.parse(lines))
    for job in find_photos([folder]):
        yield decode(job.file), queries, None


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--scenes", type=int, default=0, metavar="N")
    parser.add_argument("--images", type=Path, metavar="FOLDER")
    parser.add_argument("--vocabulary", nargs="+", default=list(WORDS))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    segmenter = Segmenter(args.bundle, device=args.device, threads=args.threads)
    sources = {"scenes": scenes(segmenter, args.scenes)} if args.scenes else {}
    if args.images:
        sources["photos"] = photos(segmenter, args.images, class_lines(args.vocabulary))
    found = {name: compare(segmenter, pictures) for name, pictures in sources.items()}
    for name, kinds in found.items():
        for kind, figures in kinds.items():
            print(f"{name:8}{kind:18}" + ", ".join(f"{key} {value:.4g}" for key, value in figures.items()))  # noqa: T201
    if args.json:
        args.json.write_text(json.dumps({"bundle": segmenter.manifest.bundle_id, **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
