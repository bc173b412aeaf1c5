"""Readers of geojson: geometry, rasters, GDAL. QuPath, which needs Java, is held to what its reader takes."""

from __future__ import annotations

import json
import uuid

import numpy as np
import pytest

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def features(folder, mixed):
    """Name and features of each photo."""
    for name in mixed.photos:
        yield name, json.loads((folder / f"{name}.geojson").read_bytes())["features"]


def test_shapely_finds_valid_geometry_of_the_masks_area(converted, mixed):
    geometry = pytest.importorskip("shapely.geometry")
    for name, found in features(converted("geojson"), mixed):
        for feature, (word, mask) in zip(found, mixed.masks(name), strict=True):
            shape = geometry.shape(feature["geometry"])
            assert shape.is_valid
            assert shape.area == mask.sum()
            assert feature["properties"]["word"] == word


def test_rasterio_paints_the_masks(converted, mixed):
    rasterize = pytest.importorskip("rasterio.features").rasterize
    affine = pytest.importorskip("rasterio").Affine.identity()
    mixed.check(
        {
            name: [
                (each["properties"]["word"], rasterize([each["geometry"]], mixed.photos[name].size, transform=affine))
                for each in found
            ]
            for name, found in features(converted("geojson"), mixed)
        }
    )


def test_gdal_takes_pixels_for_degrees_unless_told(converted, mixed):
    geopandas = pytest.importorskip("geopandas", reason="geopandas with pyogrio is not installed")
    folder = converted("geojson")
    for name, photo in mixed.photos.items():
        if not photo.objects:
            continue
        table = geopandas.read_file(folder / f"{name}.geojson")
        assert table.crs.to_epsg() == 4326  # RFC 7946
        table = table.set_crs(None, allow_override=True)
        assert table.crs is None
        assert table["word"].tolist() == [found.word for found in photo.objects]
        assert table.geometry.area.tolist() == [found.area for found in photo.objects]


def test_qupath_finds_classes_and_numbers(converted, mixed):
    for _, found in features(converted("geojson"), mixed):
        for feature in found:
            properties = feature["properties"]
            with pytest.raises(ValueError):
                uuid.UUID(str(feature["id"]))  # QuPath makes one of its own then
            assert properties["objectType"] == "annotation"
            assert properties["classification"]["name"] == properties["word"]
            assert all(0 <= value <= 255 for value in properties["classification"]["color"])
            assert all(isinstance(value, (int, float)) for value in properties["measurements"].values())
            assert np.isclose(properties["measurements"]["score"], properties["score"])
