"""detectron2's loader and mapper. Its Python alone is enough: put a checkout on PYTHONPATH, nothing is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def instances(folder, mask_format):
    """Name, classes and masks of each photo, as a model gets them."""
    config = pytest.importorskip("detectron2.config")
    data = pytest.importorskip("detectron2.data")
    coco = pytest.importorskip("detectron2.data.datasets.coco")
    settings = config.get_cfg()
    settings.INPUT.MASK_FORMAT = mask_format
    records = coco.load_coco_json(str(folder / "labels.json"), str(folder / "data"), "wordmask")
    names = data.MetadataCatalog.get("wordmask").thing_classes
    mapper = data.DatasetMapper(
        is_train=True, augmentations=[], image_format="RGB", use_instance_mask=True, instance_mask_format=mask_format
    )
    for record in records:
        name = str(Path(record["file_name"]).relative_to(folder / "data").with_suffix(""))
        found = mapper(record)["instances"]
        yield name, [names[i] for i in found.gt_classes.tolist()], found


def test_bitmask_is_exact(converted, mixed):
    found = {}
    for name, words, read in instances(converted("coco", placing="link"), "bitmask"):
        found[name] = list(zip(words, read.gt_masks.tensor.numpy(), strict=True)) if words else []
    mixed.check(found)


def test_the_default_mask_format_takes_polygons_only(converted):
    with pytest.raises(ValueError, match="mask_format=='polygon'"):
        list(instances(converted("coco", placing="link"), "polygon"))
