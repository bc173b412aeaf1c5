"""Converted runs, read as the tools of each format read them: the same words, and the same masks."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from folder_runs import run
from odd_file_systems import OddFolder
from photos import picture_size
from wordmask.cli.convert import FORMATS
from wordmask.convert.conversion import WRITERS, convert
from wordmask.convert.files import CocoFile
from wordmask.convert.object_map import class_map, object_map
from wordmask.convert.panoptic import PanopticWriter
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.convert.voc import VocWriter, label_names
from wordmask.convert.yolo import YoloWriter, yaml_text
from wordmask.errors import ConversionError
from wordmask.formats.palette import class_colour, voc_palette
from wordmask.objects.masks import paint
from wordmask.outputs.finished_run import FinishedRun, RunPhoto
from wordmask.rle import encode_box
from wordmask.types import Instance

coco_tools = pytest.importorskip("pycocotools.coco")
mask_tools = pytest.importorskip("pycocotools.mask")

WORDS = ('red "striped": #1', "grün\x7f")
AWKWARD = "a 'b' [#1]"
SIZE = (30, 41)


def scenes() -> dict[str, np.ndarray]:
    """Masks (2, H, W) of the two words by the photo's name."""
    rng = np.random.default_rng(5)
    shapes = np.zeros((2, *SIZE), bool)
    shapes[0, 3:17, 4:20] = shapes[0, 22:26, 30:38] = True  # two parts, the larger with two holes
    shapes[0, 6:9, 7:10] = shapes[0, 11:15, 12:18] = False
    shapes[1, 10:28, 10:33] = True  # lies over the first, and has holes too
    shapes[1, 14:20, 15:25] = False
    covered = np.zeros((2, *SIZE), bool)
    covered[0, 10:12, 10:12] = True  # hidden by the second
    covered[1, 5:25, 5:25] = True
    return {
        "shapes": shapes,
        "noise": rng.random((2, *SIZE)) < 0.6,
        "covered": covered,
        "empty": np.zeros((2, *SIZE), bool),
        AWKWARD: shapes[::-1],
    }


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, masks in scenes().items():
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[..., :2] = np.where(masks, 250, 10).transpose(1, 2, 0)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def finished(photos, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("run") / "out"
    run(photos, out, words=WORDS)
    return out


@pytest.fixture
def converted(finished, tmp_path):
    def make(kind, **settings) -> Path:
        found = convert(finished, kind, tmp_path / kind, **settings)
        assert (found.photos, found.objects, found.left_out) == (len(scenes()), 8, 0)
        return tmp_path / kind

    return make


def test_every_format_of_the_command_has_a_writer():
    assert tuple(WRITERS) == FORMATS


def test_coco_gives_pycocotools_the_same_masks_words_and_ids(converted, finished):
    path = converted("coco") / "labels.json"
    with contextlib.redirect_stdout(io.StringIO()):
        found, original = coco_tools.COCO(path), coco_tools.COCO(finished / "annotations.json")
    assert [found.cats[i]["name"] for i in found.getCatIds()] == list(WORDS)
    assert {i: image["file_name"] for i, image in found.imgs.items()} == {
        i: image["file_name"] for i, image in original.imgs.items()
    }
    assert found.anns.keys() == original.anns.keys()
    for number, annotation in found.anns.items():
        image = found.imgs[annotation["image_id"]]
        mask = scenes()[Path(image["file_name"]).stem][annotation["category_id"] - 1]
        np.testing.assert_array_equal(found.annToMask(annotation), mask)
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == mask_tools.toBbox(found.annToRLE(annotation)).tolist()
        assert annotation["score"] == original.anns[number]["score"]


@pytest.mark.parametrize("kind", ["coco", "coco-panoptic"])
@pytest.mark.parametrize("placing", ["link", "copy"])
def test_coco_with_photos_is_the_folder_that_fiftyone_reads(kind, placing, converted, photos):
    folder = converted(kind, placing=placing)
    labels = json.loads((folder / ("labels.json" if kind == "coco" else "panoptic.json")).read_bytes())
    assert len(labels["images"]) == len(scenes())
    assert len(list((folder / "data").iterdir())) == len(scenes())
    for image in labels["images"]:
        placed = folder / "data" / image["file_name"]
        assert placed.is_symlink() == (placing == "link")
        assert picture_size(placed) == (image["width"], image["height"])
        assert image["file_name"] == plain_name(image["file_name"])


@pytest.mark.parametrize("placing", ["none", "copy"])
def test_coco_datumaro_names_photos_below_its_folder_for_them(placing, converted, finished):
    folder = converted("coco-datumaro", placing=placing)
    document = json.loads((folder / "annotations" / "instances_default.json").read_bytes())
    names = [image["file_name"] for image in document["images"]]
    assert sorted(names) == sorted(f"{plain_name(name)}.png" for name in scenes())
    photos = folder / "images" / "default"
    assert sorted(path.name for path in photos.iterdir()) == (sorted(names) if placing == "copy" else [])
    original = json.loads((finished / "annotations.json").read_bytes())
    assert [each["segmentation"] for each in document["annotations"]] == [
        each["segmentation"] for each in original["annotations"]
    ]


def test_a_photo_that_cannot_be_read_is_left_out_and_said(tmp_path, photos, monkeypatch):
    run(photos, tmp_path / "out", words=WORDS)
    OddFolder(monkeypatch, photos / "noise.png").refuse_reading()
    said = []
    found = convert(tmp_path / "out", "yolo-seg", tmp_path / "made", placing="copy", log=said.append)
    assert (found.photos, found.left_out) == (len(scenes()) - 1, 1)
    assert said == [f"left out: cannot read '{photos / 'noise.png'}': Permission denied: give --photos none"]
    assert not (tmp_path / "made" / "images" / "train" / "noise.png").exists()


def test_coco_panoptic_follows_panopticapis_rules(converted):
    folder = converted("coco-panoptic")
    document = json.loads((folder / "panoptic.json").read_bytes())
    names = {image["id"]: Path(image["file_name"]).stem for image in document["images"]}
    assert [category["name"] for category in document["categories"]] == list(WORDS)
    assert all({"isthing", "color"} <= category.keys() for category in document["categories"])
    for annotation in document["annotations"]:
        rgb = np.asarray(Image.open(folder / "panoptic" / annotation["file_name"])).astype(np.uint32)
        ids = rgb[..., 0] + 256 * rgb[..., 1] + 256 * 256 * rgb[..., 2]
        segments = {segment["id"]: segment for segment in annotation["segments_info"]}
        assert {0, *segments} == {0, *np.unique(ids).tolist()}  # all in the PNG, and nothing else
        classes = np.zeros(SIZE, int)
        for number, segment in segments.items():
            visible = ids == number
            assert segment["area"] == visible.sum()
            code = mask_tools.encode(np.asfortranarray(visible.astype(np.uint8)))
            assert segment["bbox"] == mask_tools.toBbox(code).tolist()
            assert segment["iscrowd"] == 0
            classes[visible] = segment["category_id"]
        np.testing.assert_array_equal(classes, on_top(names[annotation["image_id"]]))
    counts = {names[each["image_id"]]: len(each["segments_info"]) for each in document["annotations"]}
    assert counts == {"shapes": 2, "noise": 2, "covered": 1, "empty": 0, AWKWARD: 2}


def on_top(name: str) -> np.ndarray:
    """Classes where masks overlap: the stub's score is the mask's share of the photo, and the higher one is on top."""
    masks = scenes()[name]
    classes = np.zeros(SIZE, int)
    for i in sorted(range(2), key=lambda i: masks[i].mean()):
        classes[masks[i]] = i + 1
    return classes


def test_what_is_on_top_is_what_the_run_painted_on_top(finished):
    found = FinishedRun.open(finished)
    for entry in found.entries():
        photo = found.read(entry)
        np.testing.assert_array_equal(class_map(photo, object_map(photo)), paint(photo.objects, photo.size))


def test_objects_above_255_take_more_than_one_channel_of_a_panoptic_png(tmp_path):
    writer = PanopticWriter(tmp_path, ("dot",), PhotoFiles())
    writer.add(dots(300))
    rgb = np.asarray(Image.open(tmp_path / "panoptic" / "000000000007.png")).astype(int)
    assert (rgb @ [1, 256, 65536]).ravel().tolist() == list(range(1, 301))


def dots(count):
    """A photo of one row, each pixel an object."""
    none = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)  # points and labels
    masks = (encode_box(np.ones((1, 1), bool), x, 0, (1, count)) for x in range(count))
    objects = (Instance("dot", 0, mask, (x, 0, x + 1, 1), 1, 0.5, 1.0, 0.5, *none) for x, mask in enumerate(masks))
    return RunPhoto(7, "dots", "dots.png", (1, count), tuple(objects))


def test_stuff_is_one_segment_a_class_and_photo(tmp_path):
    word = "sky"
    writer = PanopticWriter(tmp_path, ("dot", word), PhotoFiles(), stuff=[word])
    row = dots(4)
    objects = [replace(found, word=("dot", word)[i % 2], class_index=i % 2) for i, found in enumerate(row.objects)]
    writer.add(replace(row, objects=tuple(objects)))
    writer.finish()
    document = json.loads((tmp_path / "panoptic.json").read_bytes())
    assert [category["isthing"] for category in document["categories"]] == [1, 0]
    segments = [
        (each["id"], each["category_id"], each["area"], each["bbox"])
        for each in document["annotations"][0]["segments_info"]
    ]
    assert segments == [(1, 1, 1, [0, 0, 1, 1]), (2, 2, 2, [1, 0, 3, 1]), (3, 1, 1, [2, 0, 1, 1])]
    rgb = np.asarray(Image.open(tmp_path / "panoptic" / "000000000007.png")).astype(int)
    assert (rgb @ [1, 256, 65536]).ravel().tolist() == [1, 2, 3, 2]


def test_stuff_that_is_no_word_of_the_run_is_refused(tmp_path):
    with pytest.raises(ConversionError, match="'sea' is none of the run's words: 'dot', 'sky'"):
        PanopticWriter(tmp_path, ("dot", "sky"), PhotoFiles(), stuff=["sky", "sea"])


def test_more_objects_than_voc_has_colours_are_refused(tmp_path):
    writer = VocWriter(tmp_path, ("dot",), PhotoFiles())
    writer.add(dots(254))
    with pytest.raises(ConversionError, match="has 255 objects"):
        writer.add(dots(255))
    with pytest.raises(ConversionError, match="255 words"):
        VocWriter(tmp_path, tuple(map(str, range(255))), PhotoFiles())


def yolo_masks(labels: Path, whole) -> list[tuple[int, np.ndarray]]:
    """As ultralytics reads a label file: rows checked, scaled, made whole numbers, filled."""
    found = []
    for line in labels.read_text(encoding="utf-8").strip().splitlines():
        number, *numbers = line.split()
        assert len(numbers) >= 6
        points = np.array(numbers, np.float32).reshape(-1, 2)
        assert points.min() >= 0
        assert points.max() <= 1
        picture = np.zeros(SIZE, np.uint8)
        pixels = whole(points * np.array(SIZE[::-1], np.float32))
        cv2.fillPoly(picture, [pixels.astype(np.int32)], 1)
        found.append((int(number), picture > 0))
    return found


@pytest.mark.parametrize("whole", [np.trunc, np.round], ids=["ultralytics", "supervision"])
def test_yolo_labels_are_the_masks_but_for_bridges_whether_a_reader_cuts_or_rounds(converted, whole):
    folder = converted("yolo-seg")
    for name, masks in scenes().items():
        found = yolo_masks(folder / "labels" / "train" / f"{plain_name(name)}.txt", whole)
        assert sorted(number for number, _ in found) == [i for i in range(2) if masks[i].any()]
        for number, mask in found:
            parts, _ = cv2.connectedComponents(masks[number].astype(np.uint8))
            if parts == 2:  # with the background
                np.testing.assert_array_equal(mask, masks[number])
            else:
                assert mask[masks[number]].all()
                assert (mask & ~masks[number]).sum() <= 10 * (parts - 2)  # no part is farther from the others


@pytest.mark.parametrize("whole", [np.trunc, np.round], ids=["ultralytics", "supervision"])
def test_yolo_labels_of_wide_photos_name_the_same_pixels(tmp_path, whole):
    size = (65536, 40000)
    corners = np.random.default_rng(2).integers(0, 30000, (200, 2))
    mask = np.ones((3, 4), bool)
    none = np.zeros((0, 2), np.float32), np.zeros(0, np.int32)  # points and labels
    boxes = [(x, y, x + 4, y + 3) for x, y in [*corners.tolist(), (39996, 65533)]]
    objects = tuple(Instance("a", 0, encode_box(mask, *box[:2], size), box, 12, 0.5, 1.0, 0.5, *none) for box in boxes)
    writer = YoloWriter(tmp_path, ("a",), PhotoFiles())
    writer.add(RunPhoto(1, "wide", "wide.png", size, objects))
    lines = (tmp_path / "labels" / "train" / "wide.txt").read_text().splitlines()
    for line, (x0, y0, x1, y1) in zip(lines, boxes, strict=True):
        points = np.array(line.split()[1:], np.float32).reshape(-1, 2)
        pixels = whole(points * np.array(size[::-1], np.float32))
        assert sorted(map(tuple, pixels.tolist())) == [(x0, y0), (x0, y1 - 1), (x1 - 1, y0), (x1 - 1, y1 - 1)]


def test_yolo_finds_each_photos_labels_and_the_words(converted):
    folder = converted("yolo-seg", placing="link")
    settings = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    assert settings["names"] == dict(enumerate(WORDS))
    images = sorted((folder / settings["train"]).rglob("*.*"))
    assert len(images) == len(scenes())
    for image in images:  # ultralytics' img2label_paths
        before, after = str(image).rsplit(f"{os.sep}images{os.sep}", 1)
        assert Path(f"{before}/labels/{after.rsplit('.', 1)[0]}.txt").is_file()
        assert picture_size(image) == SIZE[::-1]


@pytest.mark.parametrize("text", ["a: b", "#x", '"', "\\", "null", "\x85\u2028\x7f", "😀", "yes", "- 'a'", " a "])
def test_any_word_is_text_in_yaml(text):
    assert yaml.safe_load(f"names:\n  0: {yaml_text(text)}\n") == {"names": {0: text}}


def labelme_shape(shape, size) -> np.ndarray:
    """As LabelMe's shape_to_mask draws a polygon and its canvas a mask."""
    picture = Image.new("L", size[::-1])
    if shape["shape_type"] == "mask":
        (x0, y0), (x1, y1) = shape["points"]
        patch = Image.open(io.BytesIO(base64.b64decode(shape["mask"])))
        assert patch.size == (x1 - x0 + 1, y1 - y0 + 1)
        picture.paste(patch, (x0, y0))
    else:
        assert shape["shape_type"] == "polygon"
        assert len(shape["points"]) > 2
        ImageDraw.Draw(picture).polygon([tuple(point) for point in shape["points"]], outline=1, fill=1)
    return np.asarray(picture) > 0


def test_labelme_shapes_are_the_masks(converted, photos):
    folder = converted("labelme")
    kinds = set()
    for name, masks in scenes().items():
        path = folder / f"{plain_name(name)}.json"
        document = json.loads(path.read_bytes())
        assert {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"} == document.keys()
        assert (document["imageHeight"], document["imageWidth"], document["imageData"]) == (*SIZE, None)
        assert (path.parent / document["imagePath"]).resolve() == (photos / f"{name}.png").resolve()
        objects: dict[tuple[str, int], np.ndarray] = {}
        for shape in document["shapes"]:
            assert {"label", "points", "group_id", "shape_type", "flags", "description", "mask"} == shape.keys()
            key = shape["label"], shape["group_id"]
            objects[key] = objects.get(key, False) | labelme_shape(shape, SIZE)
            kinds.add(shape["shape_type"])
        assert sorted(label for label, _ in objects) == sorted(
            word for word, mask in zip(WORDS, masks, strict=True) if mask.any()
        )
        for (label, _), mask in objects.items():
            np.testing.assert_array_equal(mask, masks[WORDS.index(label)])
    assert kinds == {"polygon", "mask"}


def test_labelme_finds_photos_that_were_placed_beside(converted):
    folder = converted("labelme", placing="copy")
    for path in folder.glob("*.json"):
        if not path.name.startswith("."):
            assert (path.parent / json.loads(path.read_bytes())["imagePath"]).parent == folder


def label_map(path: Path) -> dict[str, tuple[int, ...]]:
    """As Datumaro, which CVAT imports with, reads labelmap.txt."""
    found = {}
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip() and not line.startswith("#"):
            name, colour, parts, actions = line.split(":")
            assert parts == actions == ""
            found[name] = tuple(map(int, colour.split(",")))
    return found


def test_cvat_reads_the_semantic_map_by_the_colours_of_its_label_map(converted):
    folder = converted("cvat")
    colours = label_map(folder / "labelmap.txt")
    assert list(colours) == label_names(WORDS)
    names = (folder / "ImageSets" / "Segmentation" / "default.txt").read_text(encoding="utf-8").splitlines()
    assert sorted(names) == sorted(map(plain_name, scenes()))
    for name in scenes():
        picture = np.asarray(Image.open(folder / "SegmentationClass" / f"{plain_name(name)}.png"))
        classes = np.full(SIZE, -1)
        for number, colour in enumerate(colours.values()):
            classes[(picture == colour).all(axis=-1)] = number
        np.testing.assert_array_equal(classes, on_top(name))
        objects = np.asarray(Image.open(folder / "SegmentationObject" / f"{plain_name(name)}.png"))
        visible = {tuple(colour) for colour in objects.reshape(-1, 3).tolist()} - {(0, 0, 0)}
        expected = len(set(on_top(name).ravel().tolist()) - {0})
        assert visible == {tuple(colour) for colour in voc_palette()[1 : expected + 1].tolist()}


def test_voc_pictures_have_the_indices_and_colours_of_voc(converted):
    folder = converted("voc", placing="copy")
    names = (folder / "ImageSets" / "Segmentation" / "trainval.txt").read_text(encoding="utf-8").splitlines()
    for name in scenes():
        assert plain_name(name) in names
        assert picture_size(folder / "JPEGImages" / f"{plain_name(name)}.jpg") == SIZE[::-1]
        classes, objects = (
            Image.open(folder / kind / f"{plain_name(name)}.png")
            for kind in ("SegmentationClass", "SegmentationObject")
        )
        assert classes.mode == objects.mode == "P"
        np.testing.assert_array_equal(np.reshape(classes.getpalette(), (-1, 3)), voc_palette())
        np.testing.assert_array_equal(np.asarray(classes), on_top(name))
        for number in np.unique(np.asarray(objects)):  # an object lies in one class
            assert len(np.unique(np.asarray(classes)[np.asarray(objects) == number])) == 1


def test_voc_boxes_count_pixels_from_1_and_hold_the_last_one(converted):
    folder = converted("voc")
    lists = [(folder / "ImageSets" / kind / "trainval.txt").read_bytes() for kind in ("Segmentation", "Main")]
    assert lists[0] == lists[1]
    for name, masks in scenes().items():
        root = ElementTree.parse(folder / "Annotations" / f"{plain_name(name)}.xml").getroot()
        assert root.findtext("filename") == f"{plain_name(name)}.jpg"
        assert [int(root.findtext(f"size/{side}")) for side in ("height", "width", "depth")] == [*SIZE, 3]
        found = {
            each.findtext("name"): [int(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            for each in root.iter("object")
        }
        expected = {}
        for word, mask in zip(label_names(WORDS)[1:], masks, strict=True):
            if mask.any():
                ys, xs = np.nonzero(mask)
                expected[word] = [xs.min() + 1, ys.min() + 1, xs.max() + 1, ys.max() + 1]
        assert found == expected


def test_cvat_has_no_boxes(converted):
    folder = converted("cvat")
    assert not (folder / "Annotations").exists()
    assert not (folder / "ImageSets" / "Main").exists()


def test_labels_of_a_label_map_are_each_their_own():
    assert label_names(["a:b", "a_b", "background", "# x\ny"]) == [
        "background",
        "a_b",
        "a_b-2",
        "background-2",
        "_ x y",
    ]


def test_geojson_polygons_are_the_masks_and_follow_the_right_hand_rule(converted):
    folder = converted("geojson")
    for name, masks in scenes().items():
        collection = json.loads((folder / f"{plain_name(name)}.geojson").read_bytes())
        assert collection["type"] == "FeatureCollection"
        assert len(collection["features"]) == sum(mask.any() for mask in masks)
        for feature in collection["features"]:
            geometry = feature["geometry"]
            polygons = geometry["coordinates"]
            polygons = [polygons] if geometry["type"] == "Polygon" else polygons
            assert (geometry["type"] == "MultiPolygon") == (len(polygons) > 1)
            painted = np.zeros(SIZE, int)
            for rings in polygons:
                for place, ring in enumerate(rings):
                    assert ring[0] == ring[-1]
                    assert len(ring) >= 4
                    x, y = np.array(ring).T
                    area = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])
                    assert (area > 0) == (place == 0)
                    code = mask_tools.merge(mask_tools.frPyObjects([np.ravel(ring[:-1]).astype(float).tolist()], *SIZE))
                    painted += mask_tools.decode(code).astype(int) * (1 if place == 0 else -1)
            word = WORDS.index(feature["properties"]["word"])
            np.testing.assert_array_equal(painted, masks[word])
            assert feature["properties"]["classification"] == {"name": WORDS[word], "color": list(class_colour(word))}
            assert feature["properties"]["objectType"] == "annotation"
            assert feature["properties"]["measurements"]["area"] == masks[word].sum()
            assert feature["properties"]["measurements"]["score"] == pytest.approx(masks[word].mean(), abs=1e-6)


def test_a_long_list_is_written_without_being_held(tmp_path):
    tracemalloc.start()
    document = CocoFile(tmp_path / "x.json", [], numbered=False)
    for number in range(2000):
        document.add({"id": number, "file_name": "x" * 500}, [{"id": number, "counts": "y" * 500}])
    document.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200_000  # of two million bytes
    found = json.loads((tmp_path / "x.json").read_bytes())
    assert [entry["id"] for entry in found["images"]] == [entry["id"] for entry in found["annotations"]]
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
