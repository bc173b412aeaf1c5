"""What everything around the neural graphs takes: milliseconds of the array stages, and of starting.

    python -m wordmask_bench.stages [--rounds 9] [--threads 2]

Prints the median over the rounds in wall-clock and process CPU time. The stages run in turn within a round, so that all
see the same load. Inputs are seeded and look like the real ones: synthetic scenes enlarged to a photo, similarities
that follow their class maps with noise, decoder logits that follow their objects. No graph is run. Starting is measured
in fresh processes: `wordmask --help`, `import wordmask`, and the shipped bundle until it is ready to run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from wordmask import classmap, masks, prompts, rle
from wordmask.preprocess import resize_for_sam2, window_starts
from wordmask.types import Floats, Instance, Options
from wordmask_bench.scenes import generate

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
    height, width = RESIZED[0] // 2, RESIZED[1] // 3
    scenes = [generate(6 * seed + i, size=(height, width)).class_map % CLASSES for i in range(6)]
    labels = np.block([scenes[:3], scenes[3:]])
    planes = [cv2.GaussianBlur((labels == k).astype(np.float32), (0, 0), 2) for k in range(CLASSES)]
    noise = [cv2.GaussianBlur(rng.standard_normal(RESIZED, np.float32), (0, 0), 4) for _ in range(CLASSES)]
    return (0.15 + 0.15 * np.stack(planes) + 0.1 * np.stack(noise)).astype(np.float32)


def windows(logits: Floats) -> tuple[Floats, list[tuple[int, int]]]:
    """The overlapping windows of SCLIP's protocol: f32 (N, CLASSES, WINDOW, WINDOW) and their corners."""
    rows, columns = (window_starts(length, WINDOW, WINDOW // 2) for length in RESIZED)
    corners = [(y, x) for y in rows for x in columns]
    return np.stack([logits[:, y : y + WINDOW, x : x + WINDOW] for y, x in corners]), corners


def decoder_logits(seed: int) -> Floats:
    """SAM2-like logits f32 (N, 256, 256) of a scene's objects of 1 to 20 % of the photo, each found three times."""
    rng = np.random.default_rng(seed)
    shapes = [instance.mask.astype(np.float32) for instance in generate(seed, size=(256, 256)).instances]
    logits = [cv2.GaussianBlur(shape, (0, 0), 1.5) * 24 - 12 for shape in shapes if 0.01 <= shape.mean() <= 0.2]
    logits = [plane for plane in logits for _ in range(3)]
    noise = [cv2.GaussianBlur(rng.standard_normal((256, 256), np.float32), (0, 0), 3) for _ in logits]
    return (np.stack(logits) + np.stack(noise)).astype(np.float32)


def photo_of(size: tuple[int, int]) -> NDArray[np.uint8]:
    """A scene enlarged to a photo u8 (H, W, 3)."""
    return np.asarray(cv2.resize(generate(0, size=RESIZED).image, size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def patchwork(cells: int) -> NDArray[np.integer]:
    """A class map of a megapixel with about half as many regions as it has cells."""
    rng = np.random.default_rng(cells)
    noise = [cv2.resize(rng.standard_normal((cells, cells)), MEGAPIXEL[::-1]) for _ in range(CLASSES)]
    return np.asarray(np.argmax(noise, axis=0), np.int32)


def stages(threads: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    rng, logits, starts, options = np.random.default_rng(0), similarities(0), range(CLASSES), Options()
    tiles, corners = windows(logits)
    scene, patches = classmap.classify(logits, starts, MEGAPIXEL, 100.0), patchwork(40)
    speckled = (scene.confidence * rng.uniform(0.6, 1, MEGAPIXEL)).astype(np.float32)
    low_res = np.concatenate([decoder_logits(seed) for seed in range(2)])
    classes, confidence = np.arange(len(low_res)) // 3 % 4, np.linspace(0.7, 1, len(low_res), dtype=np.float32)
    placed = [found for found in (masks.upsample(logit, PHOTO) for logit in low_res) if found]
    codes = [rle.encode_box(mask, box[0], box[1], PHOTO) for mask, box in placed]
    point, label = np.zeros((1, 2), np.float32), np.ones(1, np.int32)
    instances = [
        Instance("", 0, code, box, rle.area(code), 1.0, 1.0, 1.0, point, label)
        for code, (_, box) in zip(codes, placed, strict=True)
    ]
    photo, count = photo_of(PHOTO), len(placed)
    return {
        "prompts: scene": lambda: prompts.extract_prompts(scene.index, scene.confidence, CLASSES, options),
        "prompts: many regions": lambda: prompts.extract_prompts(patches, np.ones_like(speckled), CLASSES, options),
        "prompts: speckled": lambda: prompts.extract_prompts(scene.index, speckled, CLASSES, options),
        "class map: stitch": lambda: classmap.stitch(tiles, corners, RESIZED, threads=threads),
        "class map: classify": lambda: classmap.classify(logits, starts, PHOTO, 40.0, threads=threads),
        f"masks: upsample {count}": lambda: [masks.upsample(logit, PHOTO) for logit in low_res],
        f"masks: encode {count}": lambda: [rle.encode_box(mask, box[0], box[1], PHOTO) for mask, box in placed],
        f"masks: duplicates of {count}": lambda: masks.drop_duplicates(low_res, classes, confidence, PHOTO, 0.8),
        f"masks: paint {count}": lambda: masks.paint(instances, PHOTO),
        "photo to SAM2's square": lambda: resize_for_sam2(photo, 1024),
    }


def run(command: Sequence[str]) -> None:
    """Python in a process of its own."""
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status."""
    parser = argparse.ArgumentParser(prog="wordmask_bench.stages", description="Measure what surrounds the graphs.")
    parser.add_argument("--rounds", type=int, default=9, help="median of this many (%(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="for the class map (%(default)s)")
    args = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    work = stages(args.threads)
    work |= {name: partial(run, command) for name, command in STARTS.items()}
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in work}
    for _ in range(args.rounds):
        for name, call in work.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    for name, seconds in spent.items():
        wall, cpu = (statistics.median(column) * 1000 for column in zip(*seconds, strict=True))
        print(f"{name:32s} {wall:8.1f} ms wall {cpu:8.1f} ms CPU")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
