"""What it costs to ignore a photo's colour profile, as CLIP's and SAM2's own loaders do.

    python -m wordmask_bench.studies.color_profile [PHOTO ...] [--scenes 60] [--bundle tiny]

A photo in Display P3 or Adobe RGB has other numbers for its colours. Each scene is segmented with its sRGB numbers,
which is what `--color-profile srgb` gives, and with those that a camera would have stored, which is what `ignore`
gives. Prints the mean IoU, the share of pixels whose class changes, and how far the numbers of scenes and photos are
apart.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wordmask.photo.reading import decode
from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options
from wordmask_bench.quality.metrics import Confusion, mean
from wordmask_bench.quality.scenes import FIRST_SEED, WORDS, scene_words
from wordmask_bench.scenes import generate

Pixels = NDArray[np.uint8]
# Linear RGB to XYZ with the white D65: IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998) 4.3.5.
_SRGB = np.array(
    [[0.4123908, 0.3575843, 0.1804808], [0.2126390, 0.7151687, 0.0721923], [0.0193308, 0.1191948, 0.9505322]]
)
_P3 = np.array([[0.4865709, 0.2656677, 0.1982173], [0.2289746, 0.6917385, 0.0792869], [0.0, 0.0451134, 1.0439444]])
_ADOBE = np.array(
    [[0.5766690, 0.1855582, 0.1882286], [0.2973450, 0.6273636, 0.0752915], [0.0270314, 0.0706889, 0.9913375]]
)
_ADOBE_GAMMA = 563 / 256


def _linear(pixels: Pixels) -> NDArray[np.float64]:
    levels = np.arange(256) / 255
    table = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return np.asarray(table[pixels], np.float64)


def as_display_p3(pixels: Pixels) -> Pixels:
    """The numbers u8 (H, W, 3) that a photo in Display P3 has for these sRGB colours."""
    linear = np.clip(_linear(pixels) @ (np.linalg.inv(_P3) @ _SRGB).T, 0, 1)
    coded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * coded), np.uint8)


def as_adobe_rgb(pixels: Pixels) -> Pixels:
    """The numbers u8 (H, W, 3) that a photo in Adobe RGB (1998) has for these sRGB colours."""
    linear = np.clip(_linear(pixels) @ (np.linalg.inv(_ADOBE) @ _SRGB).T, 0, 1)
    return np.asarray(np.rint(255 * linear ** (1 / _ADOBE_GAMMA)), np.uint8)


SPACES: dict[str, Callable[[Pixels], Pixels]] = {"Display P3": as_display_p3, "Adobe RGB": as_adobe_rgb}


@dataclass(frozen=True)
class Effect:
    """Of ignoring the profile of a colour space.

    Attributes:
        miou, miou_ignored: mean IoU with sRGB's numbers, and with the space's taken for sRGB's.
        changed: share of the pixels that get another class.
        difference: mean distance of the numbers, of 255.
    """

    miou: float
    miou_ignored: float
    changed: float
    difference: float


def on_scenes(segmenter: Segmenter, stored: Callable[[Pixels], Pixels], count: int) -> Effect:
    """Segments held-out scenes by their class maps, with LoftUp where the bundle has it."""
    right, ignored = Confusion(len(WORDS)), Confusion(len(WORDS))
    changed, difference = [], []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        scene = generate(seed, combinations="test")
        words = scene_words(scene, seed)
        queries, other = segmenter.embed(Vocabulary.parse(words)), stored(scene.image)
        names = np.array([len(WORDS), *(WORDS.index(word) for word in words)])  # of 0 none, 1 the first word, ...
        maps = [names[segmenter.class_map(pixels, queries, Options()).index + 1] for pixels in (scene.image, other)]
        right.add(scene.class_map, maps[0])
        ignored.add(scene.class_map, maps[1])
        changed.append(np.mean(maps[0] != maps[1]))
        difference.append(np.mean(np.abs(scene.image.astype(int) - other)))
    return Effect(mean(right.iou()), mean(ignored.iou()), float(np.mean(changed)), float(np.mean(difference)))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="what it costs to ignore colour profiles")
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--bundle", default="tiny")
    args = parser.parse_args()
    segmenter = Segmenter(args.bundle)
    for name, stored in SPACES.items():
        effect = on_scenes(segmenter, stored, args.scenes)
        print(  # noqa: T201
            f"{name}, {args.scenes} scenes: mIoU {effect.miou:.3f}, ignored {effect.miou_ignored:.3f}; "
            f"{effect.changed:.1%} of the pixels change class; numbers {effect.difference:.1f} of 255 apart"
        )
        for path in args.photos:
            pixels = decode(path)
            apart = np.abs(pixels.astype(int) - stored(pixels))
            print(f"{name}, {path.name}: numbers {apart.mean():.1f} of 255 apart, at most {apart.max()}")  # noqa: T201


if __name__ == "__main__":
    main()
