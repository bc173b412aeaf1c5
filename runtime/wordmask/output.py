"""What a run leaves on disk: pictures, COCO annotations, a journal. Nothing partial under a final name."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.arrays import Floats
from wordmask.errors import OutputError
from wordmask.palette import voc_palette
from wordmask.types import Instance, Segmentation

PALETTE_WORDS = 255  # more do not fit a palette PNG
TEMPORARY = ".wordmask-part-"  # begins the name of a file that is not complete


def write_files(contents: Mapping[Path, Iterable[bytes]]) -> None:
    """Writes files of which none ever stands partial under its name, not even after a loss of power.

    All are written and on the disk, as temporary files beside their places, before the first takes its name.

    Args:
        contents: a file's parts by its path.

    Raises:
        OutputError: a file cannot be written; what was there before stands.
    """
    written: dict[Path, Path] = {}
    path = Path()
    try:
        for path, parts in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
            written[path] = Path(temporary)
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(descriptor)
        for path, part in written.items():
            part.chmod(0o644)
            part.replace(path)
        for folder in {path.parent for path in written}:
            _sync_folder(folder)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for temporary_path in written.values():
            temporary_path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes one file; see write_files."""
    write_files({path: [content]})


def json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """JSON in UTF-8 with a newline; a file name that is no UTF-8 keeps its bytes as escapes."""
    try:
        return (json.dumps(value, indent=indent, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=indent) + "\n").encode()


def label_png(labels: NDArray[np.uint16], words: int) -> bytes:
    """A label map (H, W) as PNG: VOC's palette up to 255 words, 16-bit grey above."""
    if words <= PALETTE_WORDS:
        picture = Image.fromarray(labels.astype(np.uint8))
        picture.putpalette(voc_palette().tobytes())
    else:
        picture = Image.fromarray(labels.astype(np.uint16))
    return encode(picture, "PNG")


def confidence_png(confidence: Floats) -> bytes:
    """Probabilities (H, W) as 16-bit grey PNG: 65535 is 1."""
    return encode(Image.fromarray(np.rint(confidence * 65535).astype(np.uint16)), "PNG")


def jpeg(photo: NDArray[np.uint8]) -> bytes:
    """An RGB picture (H, W, 3) as JPEG."""
    return encode(Image.fromarray(photo), "JPEG", quality=90)


def encode(picture: Image.Image, kind: str, **settings: int) -> bytes:
    """A picture as the bytes of a file."""
    stream = io.BytesIO()
    picture.save(stream, kind, **settings)
    return stream.getvalue()


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


def nothing_found(result: Segmentation, min_confidence: float, min_region_size: int) -> str:
    """Why there is no mask, and which option would have let one through."""
    best = sorted(zip(result.word_confidence, result.words, strict=True), reverse=True)
    found = "nothing found; best confidence: " + ", ".join(f"{word} {confidence:.2f}" for confidence, word in best[:5])
    if best[0][0] <= min_confidence:
        return f"{found}; --min-confidence is {min_confidence:g}"
    if not (result.confidence[result.dense > 0] > min_confidence).any():
        return f"{found}; but words of the --background are more probable there"
    return (
        f"{found}; no region above --min-confidence {min_confidence:g} has --min-region-size {min_region_size} pixels"
    )
