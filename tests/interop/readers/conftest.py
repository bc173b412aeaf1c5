"""A run of photos as people have them, and what a reader must find in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from folder_runs import run
from wordmask.convert.conversion import convert
from wordmask.convert.photo_files import plain_name
from wordmask.outputs.finished_run import FinishedRun, RunPhoto
from wordmask.rle import decode
from wordmask.run.find_photos import find_photos

WORDS = ("red thing", "grün")
SIZE = (48, 64)  # of the photos as displayed
Masks = list[tuple[str, NDArray[np.bool_]]]  # word and mask, falling score


def masks() -> NDArray[np.bool_]:
    """Bool (2, H, W): two pieces, the larger with a hole and a diagonal edge; and one piece across the first."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    found = np.zeros((2, *SIZE), dtype=bool)
    found[0] = (rows >= 8) & (rows < 32) & (columns >= 8) & (columns + rows // 2 < 48)
    found[0, 16:20, 16:24] = False
    found[0, 40:47, 56:63] = True
    found[1, 24:40, 24:56] = True
    return found


@dataclass(frozen=True)
class MixedRun:
    """A finished run.

    Attributes:
        out: its folder.
        photos: by the name that a converted photo has, without suffix.
    """

    out: Path
    photos: dict[str, RunPhoto]

    def masks(self, name: str) -> Masks:
        """What the run found in a photo."""
        return [(WORDS[found.class_index], decode(found.mask)) for found in self.photos[name].objects]

    def on_top(self, name: str) -> NDArray[np.int64]:
        """The classes where the higher score is on top: 0 none, i + 1 the i-th word."""
        classes = np.zeros(self.photos[name].size, dtype=np.int64)
        for word, mask in reversed(self.masks(name)):
            classes[mask] = WORDS.index(word) + 1
        return classes

    def check(self, found: dict[str, Masks]) -> None:
        """Fails unless a reader found all photos, and in each the same words and masks."""
        assert sorted(found) == sorted(self.photos)
        for name, read in found.items():
            expected = {(word, mask.tobytes()) for word, mask in self.masks(name)}
            assert {(word, np.asarray(mask, dtype=bool).tobytes()) for word, mask in read} == expected, name
            assert all(np.shape(mask) == self.photos[name].size for _, mask in read), name


def write_photos(folder: Path) -> None:
    """PNG, JPEG, EXIF turned and mirrored, nothing to be found, odd names, two of one stem, a subfolder."""
    both = masks()
    pixels = np.zeros((*SIZE, 3), dtype=np.uint8)
    pixels[..., :2] = np.where(both, 250, 10).transpose(1, 2, 0)
    photo, mirrored = Image.fromarray(pixels), Image.fromarray(pixels[:, ::-1])
    (folder / "deep" / "er").mkdir(parents=True)
    photo.save(folder / "plain.png")
    mirrored.save(folder / "same.png")
    photo.save(folder / "same.jpg", quality=98, subsampling=0)
    mirrored.save(folder / 'a "b" 猫 #1.png')
    photo.save(folder / "deep" / "er" / "photo.png")
    Image.new("RGB", SIZE[::-1], (9, 9, 9)).save(folder / "nothing.png")
    exif = Image.Exif()
    for name, orientation, stored in (
        ("turned", 6, photo.transpose(Image.Transpose.ROTATE_90)),
        ("mirrored", 2, photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ):
        exif[0x0112] = orientation
        stored.save(folder / f"{name}.jpg", quality=98, subsampling=0, exif=exif)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> MixedRun:
    folder = tmp_path_factory.mktemp("mixed")
    write_photos(folder / "photos")
    run(folder / "photos", folder / "out", words=WORDS, jobs=find_photos([folder / "photos"], recursive=True))
    finished = FinishedRun.open(folder / "out")
    photos = [finished.read(entry) for entry in finished.entries()]
    assert len(photos) == 8
    return MixedRun(folder / "out", {plain_name(photo.name): photo for photo in photos})


Convert = Callable[..., Path]


@pytest.fixture
def converted(mixed: MixedRun, tmp_path: Path) -> Convert:
    def make(kind: str, **settings: object) -> Path:
        found = convert(mixed.out, kind, tmp_path / kind, **settings)
        assert (found.photos, found.left_out) == (8, 0)
        return tmp_path / kind

    return make
