"""Label Studio's SDK: the labelling interface, the checks of its importer, and its converter's brush masks."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]
LOCAL_FILES = "/data/local-files/?d="


def test_label_studio(converted, mixed):
    interface = pytest.importorskip("label_studio_sdk.label_interface").LabelInterface
    brush = pytest.importorskip("label_studio_sdk.converter.brush")
    folder = converted("labelstudio", placing="copy")
    config = interface((folder / "label_config.xml").read_text(encoding="utf-8"))
    config.validate()
    assert list(config.get_control("label").labels) == ["red thing", "grün"]
    found = {}
    for task in json.loads((folder / "tasks.json").read_bytes()):
        path = unquote(task["data"]["image"].removeprefix(LOCAL_FILES))
        assert (folder / path).is_file()
        name = str(Path(path).relative_to("photos").with_suffix(""))
        (prediction,) = task["predictions"]
        assert config.validate_prediction(prediction, return_errors=True) == []
        size = mixed.photos[name].size
        found[name] = []
        for region in prediction["result"]:
            assert (region["original_height"], region["original_width"]) == size
            channels = brush.decode_rle(region["value"]["rle"]).reshape(*size, 4)
            found[name].append((*region["value"]["brushlabels"], channels[..., 3] > 0))
    mixed.check(found)
