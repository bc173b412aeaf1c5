"""LabelMe's own functions on its files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("placing", ["none", "link", "copy", "upright"])
def test_labelme(converted, mixed, placing):
    reader = pytest.importorskip("labelme._label_file", reason="labelme 6 or later is not installed")
    utils = pytest.importorskip("labelme.utils")
    folder = converted("labelme", placing=placing)
    found = {}
    for name, photo in mixed.photos.items():
        read = reader.read_label_file(str(folder / f"{name}.json"))
        assert Image.open(io.BytesIO(read.image_data)).size == photo.size[::-1]
        objects: dict[tuple[int, str], np.ndarray] = {}
        for shape in read.shapes:
            _, instances = utils.shapes_to_label(photo.size, [shape], {"red thing": 1, "grün": 2})
            key = shape["group_id"], shape["label"]
            objects[key] = objects.get(key, False) | (instances > 0)
        found[name] = [(label, mask) for (_, label), mask in objects.items()]
    mixed.check(found)
