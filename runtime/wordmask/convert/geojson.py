"""GeoJSON (RFC 7946) in pixels of the photo: a FeatureCollection a photo, polygons along the pixels' edges, exact.

QuPath takes a feature's class from properties.classification and its numbers from properties.measurements.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wordmask.convert.files import Writer, write
from wordmask.convert.object_map import mask_in_box
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.convert.pixel_edge_polygons import Polygon, Ring, outlines
from wordmask.formats.json import json_bytes
from wordmask.formats.palette import class_colour
from wordmask.outputs.finished_run import RunPhoto
from wordmask.types import Instance


class GeoJsonWriter(Writer):
    """Writes the files."""

    def __init__(self, folder: Path, words: tuple[str, ...], photo_files: PhotoFiles) -> None:
        """Notes where to write; photos have no place in the format."""
        self._folder, self._words = folder, words

    def add(self, photo: RunPhoto) -> None:
        """Writes a photo's file."""
        collection = {
            "type": "FeatureCollection",
            "photo": photo.path,
            "height": photo.size[0],
            "width": photo.size[1],
            "features": [self._feature(number, found) for number, found in enumerate(photo.objects, start=1)],
        }
        write(self._folder / f"{plain_name(photo.name)}.geojson", json_bytes(collection))

    def _feature(self, number: int, found: Instance) -> dict[str, Any]:
        word = self._words[found.class_index]
        measurements = {
            "score": found.score,
            "clip_confidence": found.clip_confidence,
            "sam_iou": found.sam_iou,
            "agreement": found.agreement,
            "area": found.area,
        }
        properties = {
            "word": word,
            **measurements,
            "objectType": "annotation",
            "classification": {"name": word, "color": class_colour(found.class_index)},
            "measurements": measurements,
        }
        return {"type": "Feature", "id": number, "geometry": _geometry(found), "properties": properties}


def _geometry(found: Instance) -> dict[str, Any]:
    polygons = [_rings(polygon, found.box[:2]) for polygon in outlines(mask_in_box(found))]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _rings(polygon: Polygon, offset: tuple[int, int]) -> list[list[list[int]]]:
    return [_closed(ring, offset) for ring in (polygon.exterior, *polygon.holes)]


def _closed(ring: Ring, offset: tuple[int, int]) -> list[list[int]]:
    points: list[list[int]] = (ring + offset).tolist()
    return [*points, points[0]]
