"""The pictures whose answer is known: three photos, and synthetic scenes for bundles that were trained on them.

A photo's regions are coarse polygons, drawn by hand: `inside` is certainly the object, `outside` certainly not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

import wordmask_export  # noqa: F401  (two of the photos are its own)
from wordmask.arrays import BoolMask, Photo
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import load_file
from wordmask.system.package_data import data_path
from wordmask.text.word_lists import default_background
from wordmask_bench.quality.scenes import scene_words
from wordmask_bench.scenes import Scene, generate

Polygon = tuple[tuple[int, int], ...]  # x and y of its corners

PHOTO_WORDS = ("cat", "coffee cup", "rocket", "table")
SCENES = (1_000_004, 1_000_028, 1_000_010)  # seeds of the held-out part, with one large object of a word of its own
SCENE_SIZE = (288, 384)
MARGIN = 8  # pixels of a scene around an object that are neither inside nor outside


@dataclass(frozen=True, eq=False)
class Example:
    """A picture with one object of a known word.

    Attributes:
        name: of the picture, for messages.
        photo: u8 (H, W, 3).
        words: the vocabulary; `word` is one of them.
        background: words that compete for pixels.
        word: of the object.
        inside, outside: bool (H, W), pixels that are certainly the object's, and certainly not.
    """

    name: str
    photo: Photo
    words: tuple[str, ...]
    background: tuple[str, ...]
    word: str
    inside: BoolMask
    outside: BoolMask


@dataclass(frozen=True)
class _Drawn:
    """A photo with what was drawn by hand."""

    package: str
    file: str
    word: str
    inside: Polygon
    outside: tuple[Polygon, ...]


PHOTOS = (
    _Drawn(
        *("wordmask_export", "data/chelsea.jpg", "cat"),
        inside=((50, 30), (110, 5), (330, 5), (360, 120), (330, 240), (270, 290), (90, 290), (50, 180)),
        outside=(((408, 5), (446, 5), (446, 110), (408, 110)),),
    ),
    _Drawn(
        *("wordmask_export", "data/coffee.jpg", "coffee cup"),
        inside=((182, 110), (200, 60), (250, 25), (330, 25), (390, 70), (398, 140), (375, 220), (290, 265), (210, 210)),
        outside=(((490, 20), (595, 20), (595, 380), (490, 380)), ((5, 130), (60, 130), (60, 370), (5, 370))),
    ),
    _Drawn(
        *("wordmask_bench.bundle_check", "data/rocket.jpg", "rocket"),
        inside=((117, 40), (124, 60), (128, 90), (128, 305), (108, 305), (108, 90), (111, 60)),
        outside=(((15, 10), (85, 10), (85, 240), (15, 240)), ((150, 10), (220, 10), (220, 240), (150, 240))),
    ),
)


def photos() -> Iterator[Example]:
    """The three photos."""
    for drawn in PHOTOS:
        photo = load_file(data_path(drawn.package, drawn.file), ReadOptions()).pixels
        inside, outside = _filled(photo, (drawn.inside,)), _filled(photo, drawn.outside)
        yield Example(drawn.word, photo, PHOTO_WORDS, default_background(), drawn.word, inside, outside)


def scenes() -> Iterator[Example]:
    """Three scenes; of each the largest object, among words that do not occur in it."""
    for seed in SCENES:
        scene = generate(seed, combinations="test", size=SCENE_SIZE)
        yield _of_scene(scene, tuple(scene_words(scene, seed)))


def _of_scene(scene: Scene, words: tuple[str, ...]) -> Example:
    largest = max(scene.instances, key=lambda instance: int(np.count_nonzero(instance.mask)))
    same = np.any([each.mask for each in scene.instances if each.word == largest.word], axis=0)
    near = cv2.dilate(same.astype(np.uint8), np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)) > 0
    return Example(largest.word, scene.image, words, (), largest.word, largest.mask, ~near)


def _filled(photo: Photo, polygons: tuple[Polygon, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(photo.shape[:2], np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.array(polygon, np.int32)], 1)
    return mask > 0
