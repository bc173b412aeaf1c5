"""Label Studio's files, read as it reads them."""

from __future__ import annotations

import json
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from folder_runs import run
from wordmask.convert.conversion import convert
from wordmask.convert.labelstudio import LabelStudioWriter, brush_rle
from wordmask.convert.photo_files import PhotoFiles
from wordmask.errors import ConversionError
from wordmask.formats.palette import class_colour
from wordmask.outputs.finished_run import FinishedRun, RunPhoto
from wordmask.rle import decode

WORDS = ('red "<thing>" & more', "grün")


def unpacked(code: bytes) -> np.ndarray:
    """rle-pack's decoder: u8 values, as its page on the format says."""
    bits = "".join(f"{byte:08b}" for byte in code)
    place = 0

    def number(size: int) -> int:
        nonlocal place
        place += size
        return int(bits[place - size : place], 2)

    count, value_bits = number(32), number(5) + 1
    length_bits = [number(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < count:
        is_run, length = number(1), number(length_bits[number(2)]) + 1
        values += [number(value_bits)] * length if is_run else [number(value_bits) for _ in range(length)]
    assert len(values) == count
    assert len(bits) - place < 8
    return np.array(values, dtype=np.uint8)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (37, 41), (150, 120), (260, 130)], ids=str)
def test_a_brush_has_all_four_channels_of_the_mask(size, share):
    mask = np.random.default_rng(1).random(size) < share
    np.testing.assert_array_equal(unpacked(brush_rle(mask)).reshape(*size, 4), 255 * np.repeat(mask[..., None], 4, -1))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    pixels = np.zeros((30, 41, 3), np.uint8)
    pixels[3:20, 5:30, 0] = pixels[10:25, 20:40, 1] = 250
    pixels[6:9, 8:12, 0] = 0
    (folder / "photos").mkdir()
    Image.fromarray(pixels).save(folder / "photos" / "a #1 é.png")
    Image.fromarray(pixels // 3).save(folder / "photos" / "nothing.tif")
    run(folder / "photos", folder / "out", words=WORDS)
    return folder / "out"


@pytest.mark.parametrize("placing", ["none", "copy"])
def test_tasks_have_the_runs_masks_words_and_scores(finished, tmp_path, placing):
    convert(finished, "labelstudio", tmp_path / "made", placing=placing)
    original = FinishedRun.open(finished)
    photos = [original.read(entry) for entry in original.entries()]
    tasks = json.loads((tmp_path / "made" / "tasks.json").read_bytes())
    for photo, task in zip(photos, tasks, strict=True):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "wordmask"
        assert len({region["id"] for region in prediction["result"]}) == len(photo.objects)
        assert ("score" in prediction) == bool(photo.objects)
        for found, region in zip(photo.objects, prediction["result"], strict=True):
            assert (region["type"], region["from_name"], region["to_name"]) == ("brushlabels", "label", "image")
            assert (region["original_height"], region["original_width"], region["image_rotation"]) == (*photo.size, 0)
            assert region["score"] == found.score
            assert region["value"]["format"] == "rle"
            assert region["value"]["brushlabels"] == [WORDS[found.class_index]]
            alpha = unpacked(bytes(region["value"]["rle"])).reshape(*photo.size, 4)[..., 3]
            np.testing.assert_array_equal(alpha > 0, decode(found.mask))
        image = task["data"]["image"]
        if placing == "none":
            assert image == photo.path
        else:
            assert image.startswith("/data/local-files/?d=photos/")
            assert not set(image) & set(" #é")
            assert (tmp_path / "made" / unquote(image.removeprefix("/data/local-files/?d="))).is_file()
    if placing == "copy":  # browsers show no TIFF
        assert sorted(path.suffix for path in (tmp_path / "made" / "photos").iterdir()) == [".png", ".png"]


def test_the_labelling_interface_names_the_words_and_their_colours(finished, tmp_path):
    convert(finished, "labelstudio", tmp_path / "made")
    root = ElementTree.parse(tmp_path / "made" / "label_config.xml").getroot()
    assert root.find("Image").attrib["value"] == "$image"
    labels = root.find("BrushLabels")
    assert labels.attrib == {"name": "label", "toName": root.find("Image").attrib["name"]}
    assert [(each.attrib["value"], each.attrib["background"]) for each in labels] == [
        (word, "#{:02x}{:02x}{:02x}".format(*class_colour(i))) for i, word in enumerate(WORDS)
    ]


def test_words_that_xml_cannot_hold_are_labels_of_their_own(tmp_path):
    LabelStudioWriter(tmp_path, ("a\x01b", "a_b", "a\t\n b", "\ufffe"), PhotoFiles())
    labels = ElementTree.parse(tmp_path / "label_config.xml").getroot().find("BrushLabels")
    assert [each.attrib["value"] for each in labels] == ["a_b", "a_b-2", "a b", "_"]


def test_a_photo_whose_values_32_bits_cannot_count_is_refused(tmp_path):
    writer = LabelStudioWriter(tmp_path, WORDS, PhotoFiles())
    writer.add(RunPhoto(1, "a", "a.png", (1 << 15, (1 << 15) - 1), ()))
    with pytest.raises(ConversionError, match="32768x32768 pixels, more than Label Studio"):
        writer.add(RunPhoto(2, "b", "b.png", (1 << 15, 1 << 15), ()))


def test_a_run_without_photos_is_an_empty_list(tmp_path):
    LabelStudioWriter(tmp_path, WORDS, PhotoFiles()).finish()
    assert json.loads((tmp_path / "tasks.json").read_bytes()) == []
