"""LabelMe's own functions on its files."""

from __future__ import annotations

import importlib
import io

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


@pytest.mark.parametrize("placing", ["none", "link", "copy", "upright"])
def test_labelme(converted, mixed, placing):
    reader = pytest.importorskip("labelme._label_file", reason="labelme 6 or later is not installed")
    try:
        shapes_to_label = importlib.import_module("labelme.utils").shapes_to_label
    except ModuleNotFoundError:  # since 7
        shapes_to_label = importlib.import_module("labelme._utils._mask").shapes_to_label
    folder = converted("labelme", placing=placing)
    found = {}
    for name, photo in mixed.photos.items():
        read = reader.read_label_file(filename=str(folder / f"{name}.json"))
        assert Image.open(io.BytesIO(read.image_data)).size == photo.size[::-1]
        objects: dict[tuple[int, str], np.ndarray] = {}
        for shape in read.shapes:
            _, instances = shapes_to_label(
                img_shape=photo.size, shapes=[shape], label_name_to_value={"red thing": 1, "grün": 2}
            )
            key = shape["group_id"], shape["label"]
            objects[key] = objects.get(key, False) | (instances > 0)
        found[name] = [(label, mask) for (_, label), mask in objects.items()]
    mixed.check(found)
