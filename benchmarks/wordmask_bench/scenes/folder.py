"""Writes scenes as a labelled dataset: images, label PNGs and COCO annotations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wordmask import rle
from wordmask.formats import pictures
from wordmask.formats.coco import coco_document, coco_image
from wordmask.system.files import write_bytes, write_files
from wordmask_bench.scenes.scene import SceneInstance, generate
from wordmask_bench.scenes.words import Combinations, vocabulary


def write_folder(
    out: Path, seeds: Iterable[int], *, combinations: Combinations = "train", size: tuple[int, int] | None = None
) -> None:
    """Writes one scene per seed.

    The folder holds images/NNNNNN.png (NNNNNN is the seed), labels/NNNNNN.png (palette PNG like the runtime's
    semantic maps: 1 is the first line of words.txt; 0 does not occur), annotations.json (COCO, compressed RLE; one
    annotation per object, front first) and words.txt (vocabulary(), one class per line).

    Args:
        out: folder, created if missing; files of the same names are replaced.
        seeds: see generate.
        combinations: see generate.
        size: see generate.

    Raises:
        ValueError: an argument is out of range.
        OutputError: a file cannot be written.
    """
    words = vocabulary()
    photos: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for number, seed in enumerate(seeds, start=1):
        scene = generate(seed, combinations=combinations, size=size)
        name = f"{seed:06d}.png"
        labels = pictures.label_png(scene.class_map + np.uint16(1), len(words))
        write_bytes(out / "images" / name, pictures.encode(Image.fromarray(scene.image), "PNG"))
        write_bytes(out / "labels" / name, labels)
        image = coco_image(number, name, (scene.image.shape[0], scene.image.shape[1]))
        photos.append((image, [_annotation(instance) for instance in scene.instances]))
    write_files({out / "annotations.json": coco_document(words, photos)})
    write_bytes(out / "words.txt", "".join(f"{word}\n" for word in words).encode())


def _annotation(instance: SceneInstance) -> dict[str, Any]:
    x0, y0, x1, y1 = instance.box
    code = rle.encode(instance.mask)
    return {
        "category_id": instance.class_index + 1,
        "segmentation": {"size": list(code.size), "counts": code.counts},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(np.count_nonzero(instance.mask)),
        "iscrowd": 0,
    }
