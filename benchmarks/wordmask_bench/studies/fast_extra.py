"""What the extra `fast` brings: JPEGs and run-length codes with it and without, in turn.

    python -m wordmask_bench.studies.fast_extra [PHOTO.jpg ...] [--rounds 15]

Prints the median of the rounds' ratios and both medians in milliseconds; what the two give must be equal. Photos are
decoded as they are, saved as progressive, and turned by EXIF.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from wordmask import rle
from wordmask.arrays import BoolMask
from wordmask.photo import jpeg_fast
from wordmask.photo.reading import decode

SIZE = (1200, 1800)
BOXES = ((60, 80), (200, 300), (600, 900), SIZE)
_ORIENTATION = 0x0112


def compare(call: Callable[[], object], module: object, name: str, rounds: int) -> str:
    """Times a call with `module.name` as it is and with None in its place."""
    there = getattr(module, name)
    plain: list[float] = []
    fast: list[float] = []
    for _ in range(rounds):
        found: list[object] = []
        for choice, times in ((None, plain), (there, fast)):
            setattr(module, name, choice)
            start = time.perf_counter()
            found.append(call())
            times.append(time.perf_counter() - start)
        if not np.all(found[0] == found[1]):
            raise RuntimeError(f"{name} gives another result")
    ratio = statistics.median(one / other for one, other in zip(plain, fast, strict=True))
    before, after = (1e3 * statistics.median(times) for times in (plain, fast))
    return f"{ratio:5.2f} times: {before:8.3f} ms without, {after:8.3f} ms with {name}"


def versions(path: Path, folder: Path) -> dict[str, Path]:
    """A JPEG as it is, and saved in the folder as progressive and turned."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    progressive, turned = folder / "progressive.jpg", folder / "turned.jpg"
    with Image.open(path) as photo:
        photo.save(progressive, quality=90, progressive=True)
        photo.save(turned, quality=90, exif=exif)
    return {"as it is": path, "progressive": progressive, "turned": turned}


def blob(size: tuple[int, int]) -> BoolMask:
    """A mask with smooth outlines."""
    noise = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    mask: BoolMask = cv2.resize(cv2.GaussianBlur(noise, (0, 0), 5), size[::-1]) > 0
    return mask


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="what the extra `fast` brings")
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    for path in args.photos:
        with tempfile.TemporaryDirectory() as folder:
            for name, version in versions(path, Path(folder)).items():
                found = compare(partial(decode, version), jpeg_fast, "simplejpeg", args.rounds)
                print(f"{path.name}, {name}: {found}")  # noqa: T201
    for size in BOXES:
        mask, x0, y0 = blob(size), (SIZE[1] - size[1]) // 2, (SIZE[0] - size[0]) // 2
        code = rle.encode_box(mask, x0, y0, SIZE)
        box = (x0, y0, x0 + size[1], y0 + size[0])
        calls: dict[str, Callable[[], object]] = {
            "encode": partial(rle.encode_box, mask, x0, y0, SIZE),
            "decode": partial(rle.decode_box, code, box),
        }
        for name, call in calls.items():
            print(f"mask of {size[0]}x{size[1]}, {name}: {compare(call, rle, 'RLEMask', args.rounds)}")  # noqa: T201


if __name__ == "__main__":
    main()
