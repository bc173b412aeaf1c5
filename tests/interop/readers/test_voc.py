"""Readers of voc and cvat: one class a pixel, the higher score on top; and of voc's boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from wordmask.convert.voc import label_names

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def as_torchvision_wants_it(folder: Path, root: Path) -> Path:
    (root / "VOCdevkit").mkdir()
    (root / "VOCdevkit" / "VOC2012").symlink_to(folder)
    return root


def boxes(mixed, name):
    """Words and boxes with VOC's numbers: from 1, the last pixel inside."""
    return sorted(
        (found.word, found.box[0] + 1, found.box[1] + 1, found.box[2], found.box[3])
        for found in mixed.photos[name].objects
    )


def test_torchvision_voc_segmentation(converted, mixed, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    root = as_torchvision_wants_it(converted("voc", placing="upright"), tmp_path)
    read = datasets.VOCSegmentation(root, year="2012", image_set="trainval")
    names = [
        str(Path(path).relative_to(tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages"))[:-4] for path in read.images
    ]
    assert sorted(names) == sorted(mixed.photos)
    for name, (photo, labels) in zip(names, read, strict=True):
        np.testing.assert_array_equal(np.asarray(labels), mixed.on_top(name))
        assert photo.size == labels.size
        red, green = (np.asarray(photo)[..., channel] > 130 for channel in (0, 1))
        expected = dict(mixed.masks(name))
        for word, bright in (("red thing", red), ("grün", green)):
            assert (bright == expected.get(word, np.zeros_like(bright))).mean() > 0.99  # JPEG


def test_torchvision_voc_detection(converted, mixed, tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    root = as_torchvision_wants_it(converted("voc", placing="copy"), tmp_path)
    read = datasets.VOCDetection(root, year="2012", image_set="trainval")
    assert len(read) == len(mixed.photos)
    for _, target in read:
        annotation = target["annotation"]
        found = [
            (each["name"], *(int(each["bndbox"][corner]) for corner in ("xmin", "ymin", "xmax", "ymax")))
            for each in annotation.get("object", [])
        ]
        assert sorted(found) == boxes(mixed, annotation["filename"][:-4])


def test_supervision_boxes(converted, mixed):
    supervision = pytest.importorskip("supervision")
    folder = converted("voc", placing="copy")
    read = supervision.DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))
    names = set()
    for path, _, detections in read:
        name = Path(path).stem
        names.add(name)
        words = [read.classes[i] for i in detections.class_id] if len(detections) else []
        corners = [tuple(map(int, box)) for box in detections.xyxy]
        expected = [(word, x0 - 1, y0 - 1, x1 - 1, y1 - 1) for word, x0, y0, x1, y1 in boxes(mixed, name)]
        assert sorted((word, *box) for word, box in zip(words, corners, strict=True)) == expected
    assert names == {name for name in mixed.photos if "/" not in name}


def test_pylabel_boxes(converted, mixed):
    importer = pytest.importorskip("pylabel.importer")
    read = importer.ImportVOC(str(converted("voc", placing="copy") / "Annotations")).df
    for name in {name for name, photo in mixed.photos.items() if photo.objects and "/" not in name}:
        rows = read[read["img_filename"] == f"{name}.jpg"]
        found = [
            (row["cat_name"], *(int(row[f"ann_bbox_{corner}"]) for corner in ("xmin", "ymin", "xmax", "ymax")))
            for _, row in rows.iterrows()
        ]
        assert sorted(found) == boxes(mixed, name)


@pytest.mark.parametrize(("kind", "as_format"), [("voc", "voc"), ("voc", "voc_segmentation"), ("cvat", "voc")])
def test_datumaro_and_the_fork_of_it_that_cvat_imports_with(converted, mixed, kind, as_format):
    datumaro = pytest.importorskip("datumaro")
    cvats = hasattr(pytest.importorskip("datumaro.version"), "VERSION")
    if kind == "cvat" and not cvats:
        as_format = "voc_segmentation"  # the other's voc asks for boxes
    read = datumaro.Dataset.import_from(str(converted(kind)), as_format)
    names = [each.name for each in read.categories()[datumaro.AnnotationType.label]]
    assert names[:3] == label_names(["red thing", "grün"])
    found = {}
    for item in read:
        classes = np.zeros(mixed.photos[item.id].size, dtype=int)
        for each in item.annotations:
            if each.type == datumaro.AnnotationType.mask:
                classes[each.image.astype(bool)] = each.label
        found[item.id] = classes
    assert sorted(found) == sorted(mixed.photos)
    for name, classes in found.items():
        np.testing.assert_array_equal(classes, mixed.on_top(name))
