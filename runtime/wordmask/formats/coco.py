"""Results as COCO's instances, which pycocotools loads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wordmask.formats.json import json_bytes
from wordmask.types import Instance


def coco_image(number: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """A photo's entry in annotations.json."""
    return {"id": number, "file_name": name, "height": size[0], "width": size[1]}


def coco_annotation(instance: Instance) -> dict[str, Any]:
    """An object's entry in annotations.json, without ids of its own and of its photo; categories count from 1."""
    x0, y0, x1, y1 = instance.box
    return {
        "category_id": instance.class_index + 1,
        "segmentation": {"size": list(instance.mask.size), "counts": instance.mask.counts},
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": instance.area,
        "iscrowd": 0,
        "score": round(instance.score, 6),
        "clip_confidence": round(instance.clip_confidence, 6),
        "sam_iou": round(instance.sam_iou, 6),
        "agreement": round(instance.agreement, 6),
        "points": [[round(float(x), 2), round(float(y), 2)] for x, y in instance.points],
        "point_labels": instance.labels.tolist(),
    }


def coco_document(
    words: Sequence[str], photos: Iterable[tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]]
) -> Iterator[bytes]:
    """annotations.json in parts: COCO instances, which pycocotools loads. An object or photo a line.

    Args:
        words: the classes.
        photos: each one's coco_image and its annotations; taken one by one, so that they need not fit into memory.
    """
    categories = [{"id": i + 1, "name": word, "supercategory": ""} for i, word in enumerate(words)]
    head = {"info": {"description": "made by wordmask"}, "licenses": [], "categories": categories}
    yield json_bytes(head).rstrip(b"}\n") + b',\n"annotations": ['
    images: list[bytes] = []
    count = 0
    for image, objects in photos:
        images.append(json_bytes(image).rstrip())
        for annotation in objects:
            numbered = {"id": count + 1, "image_id": image["id"], **annotation}
            yield (b",\n" if count else b"\n") + json_bytes(numbered).rstrip()
            count += 1
    yield b'\n],\n"images": [\n' + b",\n".join(images) + b"\n]}\n"
