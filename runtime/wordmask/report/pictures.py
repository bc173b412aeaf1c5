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
from wordmask.formats.pictures import encode, jpeg
from wordmask.formats.word_colours import Colour, class_map_colours
from wordmask.outputs.layout import REPORT_PICTURES, output_paths
from wordmask.photo.options import ReadOptions
from wordmask.photo.reading import load_file
from wordmask.report.svg_outlines import GRID, Contour
from wordmask.system.files import write_files

PHOTO_SIDE, THUMBNAIL_SIDE = 1280, 400  # pixels of the longer side, at most
QUALITY = 82  # of JPEGs
_OPACITY = 0.35
_SHARPNESS = 4  # fractional bits of a coordinate: `shift` of OpenCV

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Shape:
    """A mask as it is drawn on a thumbnail.

    Attributes:
        colour: of its word.
        contours: its outline.
        large: whether it is outlined and not filled.
    """

    colour: Colour
    contours: Sequence[Contour]
    large: bool


def make_pictures(
    out: Path,
    name: str,
    photo: Path,
    size: tuple[int, int],
    shapes: Sequence[Shape],
    words: Sequence[str],
    reading: ReadOptions,
) -> Mapping[str, Path]:
    """Makes the pictures of a photo that do not exist yet.

    Args:
        out: the run's folder.
        name: of the photo's outputs.
        photo: the file.
        size: height and width it had in the run.
        shapes: its masks, in falling score.
        words: the run's classes.
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
            made[paths[kind]] = [_map(paths[source], words)]
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
    """The photo with its masks outlined and lightly filled, the best on top."""
    picture = _shrunk(shown, THUMBNAIL_SIDE)
    scale = max(picture.shape[:2]) / GRID * (1 << _SHARPNESS)
    tinted = picture.copy()
    placed = [
        (shape, [np.rint(contour * scale).astype(np.int32) for contour in shape.contours]) for shape in reversed(shapes)
    ]
    for shape, contours in placed:
        if not shape.large:
            cv2.fillPoly(tinted, contours, shape.colour, cv2.LINE_AA, _SHARPNESS)
    picture = np.asarray(cv2.addWeighted(picture, 1 - _OPACITY, tinted, _OPACITY, 0), np.uint8)
    for shape, contours in sorted(placed, key=lambda each: not each[0].large):
        cv2.polylines(picture, contours, True, shape.colour, 1, cv2.LINE_AA, _SHARPNESS)
    return picture


def _map(path: Path, words: Sequence[str]) -> bytes:
    """A class map as a small PNG in the words' colours, clear where there is no class."""
    with Image.open(path) as picture:
        labels = np.asarray(picture).astype(np.int32)
    height, width = _fitting((labels.shape[0], labels.shape[1]), PHOTO_SIDE)
    nearest = labels[np.arange(height) * labels.shape[0] // height][:, np.arange(width) * labels.shape[1] // width]
    colours = class_map_colours(words)
    palette, places = np.unique(colours[1:], axis=0, return_inverse=True)
    small = Image.fromarray(np.concatenate([[0], places.ravel() + 1]).astype(np.uint8)[nearest])
    small.putpalette(np.concatenate([colours[:1], palette]).tobytes())
    return encode(small, "PNG", transparency=0)
