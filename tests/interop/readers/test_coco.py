"""Readers of COCO's instances and panoptic segments, on what `wordmask convert` writes."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def stem(path) -> str:
    return str(Path(path).with_suffix(""))


def pixels_as_displayed(mixed, name) -> np.ndarray:
    from wordmask.photo import decode

    return decode(mixed.photos[name].path)


def test_pycocotools(converted, mixed):
    coco_tools = pytest.importorskip("pycocotools.coco")
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco_tools.COCO(converted("coco", placing="copy") / "labels.json")
    mixed.check(
        {
            stem(image["file_name"]): [
                (found.cats[each["category_id"]]["name"], found.annToMask(each))
                for each in found.loadAnns(found.getAnnIds(number))
            ]
            for number, image in found.imgs.items()
        }
    )


def test_torchvision_coco_detection_with_photos_upright(converted, mixed):
    datasets = pytest.importorskip("torchvision.datasets")
    folder = converted("coco", placing="upright")
    with contextlib.redirect_stdout(io.StringIO()):
        read = datasets.CocoDetection(folder / "data", folder / "labels.json")
    found = {}
    for number, (photo, objects) in zip(read.ids, read, strict=True):
        name = stem(read.coco.imgs[number]["file_name"])
        assert (
            np.abs(np.asarray(photo).astype(int) - pixels_as_displayed(mixed, name)).mean() < 2
        )  # of JPEG, and no turn
        found[name] = [(read.coco.cats[each["category_id"]]["name"], read.coco.annToMask(each)) for each in objects]
    mixed.check(found)


def test_supervision(converted, mixed):
    supervision = pytest.importorskip("supervision")
    folder = converted("coco", placing="hardlink")
    read = supervision.DetectionDataset.from_coco(str(folder / "data"), str(folder / "labels.json"), force_masks=True)
    found = {}
    for path, _, detections in read:
        masks = [] if detections.mask is None else detections.mask
        words = [read.classes[i] for i in detections.class_id] if len(detections) else []
        found[stem(Path(path).relative_to(folder / "data"))] = list(zip(words, masks, strict=True))
    mixed.check(found)


def test_supervision_refuses_links(converted):
    supervision = pytest.importorskip("supervision")
    folder = converted("coco", placing="link")
    with pytest.raises(ValueError, match="outside"):
        supervision.DetectionDataset.from_coco(str(folder / "data"), str(folder / "labels.json"))


def test_globox_boxes(converted, mixed):
    globox = pytest.importorskip("globox")
    read = globox.AnnotationSet.from_coco(converted("coco", placing="copy") / "labels.json")
    assert sorted(stem(name) for name in read.image_ids) == sorted(mixed.photos)
    for annotation in read:
        photo = mixed.photos[stem(annotation.image_id)]
        assert sorted((box.xmin, box.ymin, box.xmax, box.ymax) for box in annotation.boxes) == sorted(
            tuple(map(float, each.box)) for each in photo.objects
        )


@pytest.mark.parametrize("as_format", ["coco", "coco_instances"])
@pytest.mark.parametrize("placing", ["none", "upright"])
def test_datumaro_and_the_fork_of_it_that_cvat_imports_with(converted, mixed, placing, as_format):
    datumaro = pytest.importorskip("datumaro")
    read = datumaro.Dataset.import_from(str(converted("coco-datumaro", placing=placing)), as_format)
    labels, mask = read.categories()[datumaro.AnnotationType.label], datumaro.AnnotationType.mask
    mixed.check(
        {
            item.id: [(labels[each.label].name, each.image) for each in item.annotations if each.type == mask]
            for item in read
        }
    )
    if placing == "upright":
        for item in read:
            assert np.abs(item.media.data.astype(int)[..., ::-1] - pixels_as_displayed(mixed, item.id)).mean() < 2


def test_pylabel_leaves_out_photos_without_objects(converted, mixed):
    importer = pytest.importorskip("pylabel.importer")
    read = importer.ImportCoco(str(converted("coco", placing="copy") / "labels.json")).df
    named = read[read["cat_name"] != ""]
    assert sorted({stem(name) for name in named["img_filename"]}) == sorted(
        name for name, photo in mixed.photos.items() if photo.objects
    )
    for _, row in named.iterrows():
        box = tuple(int(row[f"ann_bbox_{corner}"]) for corner in ("xmin", "ymin", "xmax", "ymax"))
        assert box in [each.box for each in mixed.photos[stem(row["img_filename"])].objects]


def test_panopticapi_with_a_word_that_is_stuff(converted, mixed):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    folder = converted("coco-panoptic", stuff=["red thing"])
    with contextlib.redirect_stdout(io.StringIO()):
        result = evaluation.pq_compute(str(folder / "panoptic.json"), str(folder / "panoptic.json"))
    assert [result[group]["pq"] for group in ("All", "Things", "Stuff")] == [1.0, 1.0, 1.0]
    utils = pytest.importorskip("panopticapi.utils")
    document = json.loads((folder / "panoptic.json").read_bytes())
    names = {image["id"]: image["file_name"] for image in document["images"]}
    for annotation in document["annotations"]:
        segments = utils.rgb2id(np.asarray(Image.open(folder / "panoptic" / annotation["file_name"])))
        classes = np.zeros(segments.shape, dtype=np.int64)
        for segment in annotation["segments_info"]:
            classes[segments == segment["id"]] = segment["category_id"]
        name = next(name for name, photo in mixed.photos.items() if photo.path == names[annotation["image_id"]])
        np.testing.assert_array_equal(classes, mixed.on_top(name))


def test_panopticapi_needs_stuff(converted):
    evaluation = pytest.importorskip("panopticapi.evaluation")
    folder = converted("coco-panoptic")
    with contextlib.redirect_stdout(io.StringIO()), pytest.raises(ZeroDivisionError):
        evaluation.pq_compute(str(folder / "panoptic.json"), str(folder / "panoptic.json"))
