"""The pictures a report shows: photos and class maps at a size that a page can take, thumbnails with masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wordmask.errors import PhotoError
from wordmask.formats.palette import class_colour, edge_colour, palette_indices, voc_palette
from wordmask.formats.pictures import encode, jpeg
from wordmask.outputs.layout import REPORT_PICTURES, output_paths
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import load_file
from wordmask.report.svg_outlines import GRID, Contour
from wordmask.system.files import write_files

PHOTO_SIDE, THUMBNAIL_SIDE = 1280, 400  # pixels of the longer side, at most
QUALITY = 82  # of JPEGs
_OPACITY = 0.5
_SHARPNESS = 4  # fractional bits of a coordinate: `shift` of OpenCV

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shape:
    """A mask as it is drawn on a thumbnail."""

    class_index: int
    contours: Sequence[Contour]


def make_pictures(
    out: Path, name: str, photo: Path, size: tuple[int, int], shapes: Sequence[Shape], reading: ReadOptions
) -> Mapping[str, Path]:
    """Makes the pictures of a photo that do not exist yet.

    Args:
        out: the run's folder.
        name: of the photo's outputs.
        photo: the file.
        size: height and width it had in the run.
        shapes: its masks, in falling score.
        reading: how it was read in the run.

    Returns:
        The pictures by kind (outputs.layout.REPORT_PICTURES), without those that cannot be made: of a photo that has
        gone, or a class map that was not kept.

    Raises:
        OutputError: one cannot be written.
    """
    paths = {kind: out / place for kind, place in output_paths(name).items()}
    missing = {kind for kind in REPORT_PICTURES if not paths[kind].is_file()}
    made: dict[Path, list[bytes]] = {}
    if missing & {"report_assets/photos", "report_assets/thumbs"}:
        pixels = _decoded(photo, size, reading)
        if pixels is not None:
            shown = _shrunk(pixels, PHOTO_SIDE)
            made[paths["report_assets/photos"]] = [jpeg(shown, QUALITY)]
            made[paths["report_assets/thumbs"]] = [jpeg(_thumbnail(shown, shapes), QUALITY)]
    for kind, source in (("report_assets/maps", "dense"), ("report_assets/bilinear", "bilinear")):
        if kind in missing and paths[source].is_file():
            made[paths[kind]] = [_map(paths[source])]
    write_files(made)
    return {kind: paths[kind] for kind in REPORT_PICTURES if kind not in missing or paths[kind] in made}


def _decoded(photo: Path, size: tuple[int, int], reading: ReadOptions) -> Picture | None:
    try:
        pixels = load_file(photo, reading).pixels
    except PhotoError:
        return None
    return pixels if pixels.shape[:2] == size else None


def _shrunk(pixels: Picture, side: int) -> Picture:
    height, width = _fitting((pixels.shape[0], pixels.shape[1]), side)
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _fitting(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _thumbnail(shown: Picture, shapes: Sequence[Shape]) -> Picture:
    """The photo with its masks tinted and outlined, the best on top."""
    picture = _shrunk(shown, THUMBNAIL_SIDE)
    scale = max(picture.shape[:2]) / GRID * (1 << _SHARPNESS)
    tinted = picture.copy()
    placed = [
        (shape.class_index, [np.rint(contour * scale).astype(np.int32) for contour in shape.contours])
        for shape in reversed(shapes)
    ]
    for index, contours in placed:
        cv2.fillPoly(tinted, contours, class_colour(index), cv2.LINE_AA, _SHARPNESS)
    picture = np.asarray(cv2.addWeighted(picture, 1 - _OPACITY, tinted, _OPACITY, 0), np.uint8)
    for index, contours in placed:
        cv2.polylines(picture, contours, True, edge_colour(index), 1, cv2.LINE_AA, _SHARPNESS)
    return picture


def _map(path: Path) -> bytes:
    """A class map as a small PNG in the classes' colours, clear where there is no class."""
    with Image.open(path) as picture:
        labels = np.asarray(picture).astype(np.int32)
    height, width = _fitting((labels.shape[0], labels.shape[1]), PHOTO_SIDE)
    nearest = labels[np.arange(height) * labels.shape[0] // height][:, np.arange(width) * labels.shape[1] // width]
    small = Image.fromarray(palette_indices(nearest).astype(np.uint8))
    small.putpalette(voc_palette().tobytes())
    return encode(small, "PNG", transparency=0)
