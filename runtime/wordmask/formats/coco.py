"""Results as COCO instances, which pycocotools loads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from wordmask.formats.json import json_bytes
from wordmask.types import Instance, Segmentation


def coco_image(number: int, name: str, size: tuple[int, int]) -> dict[str, Any]:
    """A photo's entry; size is (height, width)."""
    return {"id": number, "file_name": name, "height": size[0], "width": size[1]}


def coco_object(instance: Instance) -> dict[str, Any]:
    """An object's entry without its own id and its photo's; categories count from 1."""
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
    }


def coco_annotation(instance: Instance) -> dict[str, Any]:
    """The same with the prompt that found the object, as annotations.json has it."""
    return {
        **coco_object(instance),
        "points": [[round(float(x), 2), round(float(y), 2)] for x, y in instance.points],
        "point_labels": instance.labels.tolist(),
    }


def coco_categories(words: Sequence[str]) -> list[dict[str, Any]]:
    """The classes' entries."""
    return [{"id": i, "name": word, "supercategory": ""} for i, word in enumerate(words, start=1)]


class CocoDocument:
    """The parts of a COCO document in the order head, annotations, MIDDLE, images, END; one entry per line."""

    MIDDLE, END = b'\n],\n"images": [\n', b"\n]}\n"

    def __init__(self, categories: Sequence[Mapping[str, Any]], *, numbered: bool = True) -> None:
        """Args: categories of the head; numbered gives each annotation an id, from 1."""
        head = {"info": {"description": "made by wordmask"}, "licenses": [], "categories": categories}
        self.head = json_bytes(head).removesuffix(b"}\n") + b',\n"annotations": ['
        self._numbered = numbered
        self._annotations = self._images = 0

    def annotations(self, image: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """The lines of an image's annotations."""
        for entry in entries:
            self._annotations += 1
            number = {"id": self._annotations} if self._numbered else {}
            line = json_bytes({**number, "image_id": image["id"], **entry}).rstrip()
            yield (b",\n" if self._annotations > 1 else b"\n") + line

    def image(self, image: Mapping[str, Any]) -> bytes:
        """The line of an image."""
        self._images += 1
        return (b",\n" if self._images > 1 else b"") + json_bytes(image).rstrip()


def coco_document(
    words: Sequence[str], photos: Iterable[tuple[Mapping[str, Any], Iterable[Mapping[str, Any]]]]
) -> Iterator[bytes]:
    """annotations.json in parts.

    Args:
        words: the classes.
        photos: each one's coco_image and its annotations; taken one by one, so that they need not fit into memory.
    """
    document, images = CocoDocument(coco_categories(words)), []
    yield document.head
    for image, entries in photos:
        images.append(document.image(image))
        yield from document.annotations(image, entries)
    yield document.MIDDLE + b"".join(images) + document.END


def coco_photo_document(name: str, result: Segmentation) -> bytes:
    """annotations.json of a single photo."""
    image = coco_image(1, name, result.semantic.shape[:2])
    return b"".join(coco_document(result.words, [(image, map(coco_annotation, result.instances))]))


def words_of_document(first_line: bytes) -> tuple[str, ...]:
    """The names of the classes, from the first line of a CocoDocument.

    Raises:
        ValueError: it holds none.
    """
    try:
        words = tuple(str(category["name"]) for category in json.loads(first_line.rstrip(b",\n") + b"}")["categories"])
    except (LookupError, TypeError, RecursionError) as error:
        raise ValueError(repr(error)) from error
    if not words:
        raise ValueError("it names no words")
    return words
