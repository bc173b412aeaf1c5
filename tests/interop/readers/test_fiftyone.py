"""FiftyOne's importers, which `Dataset.from_dir` calls; they need no database."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def test_coco(converted, mixed):
    importers = pytest.importorskip("fiftyone.utils.coco")
    folder = converted("coco", placing="link")
    found = {}
    with importers.COCODetectionDatasetImporter(str(folder), label_types="segmentations") as read:
        for path, metadata, labels in read:
            name = str(Path(path).relative_to(folder / "data").with_suffix(""))
            assert (metadata.height, metadata.width) == mixed.photos[name].size
            found[name] = []
            for each in labels.detections if labels else []:
                mask = np.zeros(mixed.photos[name].size, dtype=bool)
                x, y = (
                    round(share * side) for share, side in zip(each.bounding_box[:2], mask.shape[::-1], strict=True)
                )
                mask[y : y + each.mask.shape[0], x : x + each.mask.shape[1]] = each.mask
                found[name].append((each.label, mask))
    mixed.check(found)


def test_yolo_needs_the_name_of_its_yaml(converted, mixed):
    importers = pytest.importorskip("fiftyone.utils.yolo")
    folder = converted("yolo-seg", placing="link")
    names = set()
    with importers.YOLOv5DatasetImporter(
        str(folder), yaml_path="data.yaml", split="train", label_type="polylines", include_all_data=True
    ) as read:
        for path, _, labels in read:
            name = str(Path(path).relative_to(folder / "images" / "train").with_suffix(""))
            names.add(name)
            expected = dict(mixed.masks(name))
            assert sorted(each.label for each in labels.polylines) == sorted(expected)
            for each in labels.polylines:
                mask = np.zeros(mixed.photos[name].size, dtype=np.uint8)
                cv2.fillPoly(mask, [(np.array(each.points[0]) * mask.shape[::-1]).astype(np.int32)], 1)
                assert mask[expected[each.label]].all()
                assert (mask.astype(bool) & ~expected[each.label]).sum() <= 40  # the bridge
    assert names == set(mixed.photos)
