"""What everything around the neural graphs takes: milliseconds of the array stages, and of starting.

    python -m wordmask_bench.studies.array_stages [--rounds 9] [--threads 2]

Prints medians of wall-clock and processor time. The stages run in turn within a round, so that all see the same load.
Inputs are seeded and look like the real ones: scenes enlarged to a photo, similarities and masks' logits that follow
their objects with noise. No graph is run. Starting is measured in fresh processes, until `wordmask --help` is printed,
`import wordmask` is done, the shipped bundle is ready.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import rle
from wordmask.arrays import Floats
from wordmask.dense import classmap, stitching
from wordmask.dense.windows import window_starts
from wordmask.objects import masks, prompts
from wordmask.objects.agreement import agreements, keep_prompted_pieces
from wordmask.objects.sam2 import resize_for_sam2
from wordmask.types import Instance, Options, Prompt
from wordmask_bench.scenes import generate
from wordmask_bench.speed.side import grid_prompts
from wordmask_bench.speed.smooth import smooth_class_map, smooth_logits

CLASSES, WINDOW = 20, 224
PHOTO, RESIZED, MEGAPIXEL = (1176, 1764), (336, 504), (816, 1224)  # heights and widths
STARTS = {
    "start: wordmask --help": ["-m", "wordmask", "--help"],
    "start: import wordmask": ["-c", "import wordmask"],
    "start: tiny ready": ["-c", "from wordmask import Segmenter; Segmenter('tiny', threads=2)"],
}


def similarities(seed: int) -> Floats:
    """Cosine similarities f32 (CLASSES, *RESIZED) of six scenes side by side, blurred and noisy as CLIP's are."""
    rng = np.random.default_rng(seed)
    scenes = [generate(seed + i, size=(RESIZED[0] // 2, RESIZED[1] // 3)).class_map % CLASSES for i in range(6)]
    labels = np.block([scenes[:3], scenes[3:]])
    planes = [cv2.GaussianBlur((labels == k).astype(np.float32), (0, 0), 2) for k in range(CLASSES)]
    noise = [cv2.GaussianBlur(rng.standard_normal(RESIZED, np.float32), (0, 0), 4) for _ in range(CLASSES)]
    return (0.15 + 0.15 * np.stack(planes) + 0.1 * np.stack(noise)).astype(np.float32)


def decoder_logits(seed: int) -> Floats:
    """SAM2-like logits f32 (N, 256, 256) of a scene's objects of 1 to 20 % of the photo, each found three times."""
    rng = np.random.default_rng(seed)
    shapes = [instance.mask.astype(np.float32) for instance in generate(seed, size=(256, 256)).instances]
    logits = [cv2.GaussianBlur(shape, (0, 0), 1.5) * 24 - 12 for shape in shapes if 0.01 <= shape.mean() <= 0.2]
    logits = [plane for plane in logits for _ in range(3)]
    noise = [cv2.GaussianBlur(rng.standard_normal((256, 256), np.float32), (0, 0), 3) for _ in logits]
    return (np.stack(logits) + np.stack(noise)).astype(np.float32)


def instances(low_res: Floats) -> list[Instance]:
    """Every object upsampled and encoded."""
    prompt = np.zeros((1, 2), np.float32), np.ones(1, np.int32)
    placed = filter(None, (masks.upsample(logits, PHOTO) for logits in low_res))
    codes = [(rle.encode_box(mask, box[0], box[1], PHOTO), box) for mask, box in placed]
    return [Instance("", 0, code, box, 0, 1.0, 1.0, 1.0, *prompt) for code, box in codes]


def checked(low_res: Floats, asked: Sequence[Prompt], index: NDArray[np.int64], confidence: Floats) -> object:
    """Masks without the pieces that no point touches, and their agreement with a class map."""
    kept = keep_prompted_pieces(low_res, asked, PHOTO, mask_threshold=0.0)
    classes = np.array([prompt.class_index for prompt in asked])
    return agreements(kept, classes, index, confidence, mask_threshold=0.0)


def stages(threads: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    rng, logits, starts, options = np.random.default_rng(0), similarities(0), range(CLASSES), Options()
    rows, columns = (window_starts(length, WINDOW, WINDOW // 2) for length in RESIZED)
    corners = [(y, x) for y in rows for x in columns]
    tiles = np.stack([logits[:, y : y + WINDOW, x : x + WINDOW] for y, x in corners])
    scene = classmap.classify(logits, starts, MEGAPIXEL, 100.0)
    patches = np.argmax([cv2.resize(rng.standard_normal((18, 18)), MEGAPIXEL[::-1]) for _ in starts], axis=0)
    speckled = (scene.confidence * rng.uniform(0.6, 1, MEGAPIXEL)).astype(np.float32)
    low_res = np.concatenate([decoder_logits(seed) for seed in range(2)])
    classes, confidence = np.arange(len(low_res)) // 3 % 4, np.linspace(0.7, 1, len(low_res), dtype=np.float32)
    found, count = instances(low_res), len(low_res)
    size, points = PHOTO, 32
    smooth, grid = smooth_logits(size, points, 256).copy(), grid_prompts(size, points, 46)
    smooth[:, :20, :20] = 1.0  # a piece that no point touches
    index, sure = smooth_class_map(size, points, 46)
    photo = np.asarray(cv2.resize(generate(0, size=RESIZED).image, PHOTO[::-1]), np.uint8)
    return {
        "prompts: scene": lambda: prompts.extract_prompts(scene.index, scene.confidence, CLASSES, options),
        "prompts: many regions": lambda: prompts.extract_prompts(patches, np.ones_like(speckled), CLASSES, options),
        "prompts: speckled": lambda: prompts.extract_prompts(scene.index, speckled, CLASSES, options),
        "class map: stitch": lambda: stitching.stitch(tiles, corners, RESIZED, threads=threads),
        "class map: classify": lambda: classmap.classify(logits, starts, PHOTO, 40.0, threads=threads),
        f"masks: {count} at 2 MP, encoded": lambda: instances(low_res),
        f"masks: duplicates of {count}": lambda: masks.drop_duplicates(low_res, classes, confidence, PHOTO, 0.8),
        f"masks: paint {count}": lambda: masks.paint(found, PHOTO),
        "masks: checked, 32 of 46 words": lambda: checked(smooth, grid, index, sure),
        "photo to SAM2's square": lambda: resize_for_sam2(photo, 1024),
    }


def cpu() -> float:
    """Seconds of processor time of this process and its children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.studies.array_stages")
    parser.add_argument("--rounds", type=int, default=9, help="median of this many (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of the class map (%(default)s)")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    work = stages(args.threads)
    for name, command in STARTS.items():
        work[name] = partial(subprocess.run, [sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(args.rounds):
        for name, call in work.items():
            wall, busy = time.perf_counter(), cpu()
            call()
            spent[name].append((time.perf_counter() - wall, cpu() - busy))
    for name, seconds in spent.items():
        wall, busy = (statistics.median(column) * 1000 for column in zip(*seconds, strict=True))
        print(f"{name:28s} {wall:8.1f} ms wall {busy:8.1f} ms CPU")  # noqa: T201


if __name__ == "__main__":
    main()
