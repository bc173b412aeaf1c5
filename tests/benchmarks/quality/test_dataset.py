"""Datasets in their published folders, read and measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import miniature_datasets
from wordmask.cli import eval as eval_command
from wordmask.cli.main import main
from wordmask.dense.classmap import ClassMap
from wordmask.errors import BundleError
from wordmask.pipeline import Segmenter
from wordmask.text.vocabulary import Vocabulary
from wordmask.timing import StageTimer
from wordmask.types import Options
from wordmask_bench.datasets import DatasetError
from wordmask_bench.datasets.dataset import DATASETS, open_dataset
from wordmask_bench.datasets.labels import Coding, read_labels
from wordmask_bench.datasets.protocol import PROTOCOLS, Protocol
from wordmask_bench.quality import dataset as eval_dataset
from wordmask_bench.quality.dataset import default_workers, evaluate, measure
from wordmask_bench.quality.report import table, to_dict
from wordmask_bench.quality.sclip_protocol import predict
from wordmask_bench.quality.worlds import WORLDS
from wordmask_bench.scenes import BACKGROUNDS, write_folder


@pytest.fixture(params=DATASETS)
def dataset(request):
    return request.param


@pytest.fixture
def root(tmp_path, dataset):
    return miniature_datasets.write(tmp_path / dataset, dataset, miniature_datasets.classes_in(dataset))


def all_labels(found):
    return [read_labels(pair.labels, found.coding, len(found.classes)) for pair in found.pairs]


def test_every_layout_is_read_with_its_labels_to_the_number(dataset, root):
    found = open_dataset(dataset, root)
    order = [1, 0] if dataset[:3] in miniature_datasets.SPLITS else [0, 1]  # the split's, else by name
    for number, labels in zip(order, all_labels(found), strict=True):
        np.testing.assert_array_equal(labels, miniature_datasets.labels_of(number, len(found.classes)))
    (first,) = open_dataset(dataset, root, limit=1).pairs
    assert first == found.pairs[0]


def test_every_dataset_is_measured_with_its_protocol(dataset, root):
    segmenter = miniature_datasets.Knowing()
    report = evaluate(segmenter, dataset=dataset, root=root, loftup=True, workers=2)
    protocol = PROTOCOLS.get(dataset, Protocol(logit_scale=30.0, short_side=300))
    for name in ("logit_scale", "short_side", "min_probability", "min_area"):
        assert getattr(report.settings, name) == getattr(protocol, name)
    assert set(segmenter.sides) == {protocol.short_side}
    assert segmenter.embedded == 1
    assert (report.miou, report.figures.boundary_iou, report.photos) == (1.0, 1.0, 2)
    assert {name for name, value in report.per_class.items() if value == 1.0} == {
        open_dataset(dataset, root).names[index] for index in (0, 1, 2, 3, miniature_datasets.classes_in(dataset) - 1)
    }


def test_a_dataset_that_is_not_there_is_told_with_its_layout(dataset, tmp_path):
    with pytest.raises(DatasetError) as told:
        open_dataset(dataset, tmp_path)
    photo, labels, *_ = miniature_datasets.PLACES[dataset]
    for place in (photo, labels):
        folder, ending = place.split("{}")
        assert folder.split("/")[0] in str(told.value)
        assert ending in str(told.value)


def test_a_missing_file_is_told_before_anything_is_measured(dataset, root):
    gone = open_dataset(dataset, root).pairs[1].labels
    gone.unlink()
    with pytest.raises(DatasetError, match=f"1 of its files are missing, first .*{gone.name}"):
        open_dataset(dataset, root)
    assert len(open_dataset(dataset, root, limit=1).pairs) == 1  # those not asked for may be missing


def test_a_folder_without_its_class_list_is_told_with_the_layout(tmp_path):
    (miniature_datasets.write(tmp_path, "folder", 5) / "words.txt").unlink()
    with pytest.raises(DatasetError, match=r"there is no words\.txt.*\n.*images/NAME"):
        open_dataset("folder", tmp_path)


def test_a_class_list_whose_lines_are_not_the_labels_is_refused(tmp_path):
    root = miniature_datasets.write(tmp_path, "folder", 5)
    words = (root / "words.txt").read_text(encoding="utf-8").splitlines()
    for lines, said in (
        ([words[0], "", *words[1:]], "line 2 of .* is empty, and lines number the labels"),
        ([*words, f"thing, {words[1].upper()}"], f"classes 1 and {len(words)} both have the word"),
    ):
        (root / "words.txt").write_text("\n".join(lines) + "\n\n", encoding="utf-8")
        with pytest.raises(DatasetError, match=said):
            open_dataset("folder", root)


def test_comments_in_a_class_list_do_not_shift_the_numbers_of_its_classes(tmp_path):
    root = miniature_datasets.write(tmp_path, "folder", 5)
    plain = open_dataset("folder", root)
    words = (root / "words.txt").read_text(encoding="utf-8").splitlines()
    lines = ["# from 2024", words[0], "# the rest", *words[1:], r"\#1 sign"]
    (root / "words.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = open_dataset("folder", root)
    assert found.classes == (*plain.classes, ("#1 sign",))
    assert found.coding == plain.coding


def test_cityscapes_label_ids_are_mapped_to_the_19_classes(tmp_path):
    root = miniature_datasets.write(tmp_path, "cityscapes", 19)
    expected = all_labels(open_dataset("cityscapes", root))
    miniature_datasets.with_label_ids(root)
    for found, labels in zip(all_labels(open_dataset("cityscapes", root)), expected, strict=True):
        np.testing.assert_array_equal(found, labels)


@pytest.mark.parametrize(
    ("dataset", "below"),
    [
        ("voc21", "VOCdevkit/VOC2012"),
        ("context59", "VOC2010"),
        ("ade20k", "ADEChallengeData2016"),
        ("coco-stuff", "coco_stuff164k"),
    ],
)
def test_the_folder_above_the_dataset_will_do(dataset, below, tmp_path):
    miniature_datasets.write(tmp_path / below, dataset, miniature_datasets.classes_in(dataset))
    assert len(open_dataset(dataset, tmp_path).pairs) == 2


def test_a_label_of_no_class_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "labels.png"
    miniature_datasets.save_labels(path, np.array([[0, 20, 21, 255]]))
    with pytest.raises(DatasetError, match="holds the label 21, expected 0 to 20, or 255"):
        read_labels(path, Coding(), 21)
    np.testing.assert_array_equal(read_labels(path, Coding(first=1), 21), [[-1, 19, 20, -1]])


def test_coloured_labels_are_refused(tmp_path):
    path = tmp_path / "labels.png"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(DatasetError, match="its pixels are RGB"):
        read_labels(path, Coding(), 3)


def test_labels_cut_short_are_refused(tmp_path):
    path = tmp_path / "labels.png"
    miniature_datasets.save_labels(path, np.random.default_rng(0).integers(0, 20, (50, 50)))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(DatasetError, match=r"labels\.png: cannot be read as a picture of labels"):
        read_labels(path, Coding(), 21)


def test_more_classes_than_bytes_fit_in_grey_of_16_bits(tmp_path):
    path = tmp_path / "labels.png"
    Image.fromarray(np.array([[1, 300, 0, 65535, 255]], np.uint16)).save(path)
    np.testing.assert_array_equal(read_labels(path, Coding(first=1), 300), [[0, 299, -1, -1, 254]])


def test_a_folder_may_count_its_labels_from_0_and_have_its_class_list_elsewhere(tmp_path):
    root = miniature_datasets.write(tmp_path / "set", "folder", 5)
    (root / "words.txt").rename(tmp_path / "classes.txt")
    with (tmp_path / "classes.txt").open("a") as words:
        words.write("one more\n")
    found = open_dataset("folder", root, classes=tmp_path / "classes.txt", first_label=0)
    assert found.classes[5] == ("one more",)
    expected = miniature_datasets.labels_of(0, 5) + 1  # what was ignored is the first class now
    np.testing.assert_array_equal(all_labels(found)[0], expected)


def test_the_command_line_knows_all_datasets():
    assert (*WORLDS, *DATASETS) == eval_command.DATASETS
    assert tuple(WORLDS) == eval_command.SCENES


def test_published_datasets_keep_their_classes(tmp_path):
    with pytest.raises(ValueError, match="are for the dataset folder"):
        open_dataset("voc21", tmp_path, classes=tmp_path / "words.txt")


@pytest.fixture
def folder(tmp_path):
    return miniature_datasets.write(tmp_path / "set", "folder", 5)


def test_both_dense_maps_are_measured_unless_one_is_chosen(folder):
    both = evaluate(miniature_datasets.Knowing(), dataset="folder", root=folder)
    assert list(both.maps) == ["bilinear", "loftup"]
    assert both.miou == both.maps["loftup"].miou > both.maps["bilinear"].miou
    for choice, kind in ((True, "loftup"), (False, "bilinear")):
        one = evaluate(miniature_datasets.Knowing(), dataset="folder", root=folder, loftup=choice)
        assert list(one.maps) == [kind]
        assert to_dict(one)["maps"][kind] == to_dict(both)["maps"][kind]
    without = evaluate(miniature_datasets.Knowing(has_loftup=False), dataset="folder", root=folder)
    assert list(without.maps) == ["bilinear"]
    assert without.settings.upsample is None


def test_loftup_asked_of_a_bundle_without_it_is_an_error(folder):
    with pytest.raises(BundleError):
        evaluate(miniature_datasets.Knowing(has_loftup=False), dataset="folder", root=folder, loftup=True)


@pytest.mark.parametrize("background", [True, False])
def test_where_no_mask_lies_it_is_background_or_nothing_or_the_dense_map(folder, background):
    found = open_dataset("folder", folder)
    found = replace(found, protocol=replace(found.protocol, background=background))
    report = measure(miniature_datasets.Knowing(), found, masks=True)
    masks = report.maps["masks"].per_class
    names = found.names
    # The stand-in finds every other object: classes 1 and 3 after a background, else 0, 2 and 4.
    expected = {1: 1.0, 2: 0.0, 3: 1.0, 4: 0.0} if background else {0: 1.0, 1: 0.0, 2: 1.0, 3: 0.0, 4: 1.0}
    assert {index: masks[names[index]] for index in expected} == expected
    assert report.miou == report.maps["masks"].miou < 1.0
    assert report.maps["masks_over_dense"].miou == 1.0
    if background:
        assert 0 < masks["background"] < 1


def test_mistakes_are_counted_over_all_photos_together(folder):
    report = evaluate(miniature_datasets.Knowing(mistakes=(4,)), dataset="folder", root=folder, loftup=True)
    # Class 4 fills a quarter of both photos and is taken for class 1, as large: half of what was found is right.
    assert [report.per_class[f"word {index}"] for index in range(5)] == [1.0, 0.5, 1.0, 1.0, 0.0]
    assert report.miou == pytest.approx(0.7)


def test_the_result_does_not_depend_on_how_many_work(folder):
    one, three = (
        evaluate(miniature_datasets.Knowing(mistakes=(2,)), dataset="folder", root=folder, masks=True, workers=workers)
        for workers in (1, 3)
    )
    assert to_dict(one)["maps"] == to_dict(three)["maps"]


def test_labels_of_another_size_than_their_photo_are_an_error(folder):
    miniature_datasets.save_labels(folder / "labels" / "two.png", np.ones((40, 60)))
    with pytest.raises(DatasetError, match=r"two\.png.*40 x 60 and 60 x 40"):
        evaluate(miniature_datasets.Knowing(), dataset="folder", root=folder)


def test_fewer_photos_at_once_where_their_similarities_would_not_fit(folder, monkeypatch):
    found = open_dataset("folder", folder)
    monkeypatch.setattr(eval_dataset, "processors", lambda: 8)
    monkeypatch.setattr(eval_dataset, "memory", lambda: 1 << 42)
    assert default_workers(miniature_datasets.Knowing(), found) == 8
    monkeypatch.setattr(eval_dataset, "memory", lambda: 1 << 22)
    assert default_workers(miniature_datasets.Knowing(), found) == 1


def test_the_table_and_the_json_say_all_maps_and_the_protocol(folder):
    report = evaluate(miniature_datasets.Knowing(mistakes=(4,)), dataset="folder", root=folder, masks=True)
    text = table(report)
    assert "| folder, 2 photos | bilinear | LoftUp | labelled masks | masks over the dense map |" in text
    assert "logit scale 30, LoftUp selective" in text
    assert "not SCLIP's" not in text
    other = replace(report, settings=replace(report.settings, window=128))
    assert "not SCLIP's protocol: its windows are 224" in table(other)
    row = json.loads(json.dumps(to_dict(report), allow_nan=False))
    assert row["maps"]["loftup"]["per_class"]["word 1"] == 0.5
    assert row["maps"]["loftup"]["small_recall"] is None  # no region is small
    assert row["settings"]["short_side"] == 300


@pytest.fixture(scope="module")
def tiny(fast_tiny):
    return Segmenter(fast_tiny, threads=1)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    root = tmp_path_factory.mktemp("scenes")
    write_folder(root, range(1_000_000, 1_000_002), combinations="test", size=(200, 260))
    return root


def test_scenes_in_a_folder_are_segmented_as_well_as_scenes_are(scenes, tiny, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(eval_command, "_segmenter", lambda args: tiny)
    command = ["eval", "--dataset", "folder", "--root", str(scenes), "--masks", "--json", str(tmp_path / "f.json")]
    assert main(command) == 0
    assert "2 photos" in capsys.readouterr().out
    row = json.loads((tmp_path / "f.json").read_text())
    assert row["settings"]["logit_scale"] == pytest.approx(tiny.manifest.clip.logit_scale)
    assert min(figures["accuracy"] for figures in row["maps"].values()) > 0.95


def test_the_runtime_takes_the_background_as_the_dataset_has_it(scenes, tiny):
    plain = open_dataset("folder", scenes)
    ground = tuple(name for (name,) in plain.classes if name in BACKGROUNDS)
    objects = tuple(synonyms for synonyms in plain.classes if synonyms[0] not in BACKGROUNDS)
    # Labels: 1 to 40 are the objects, 41 to 48 the backgrounds, which have to be class 0.
    protocol = replace(plain.protocol, background=True, min_probability=0.1)
    numbers = (41, *range(1, 41))
    found = replace(plain, classes=(ground, *objects), protocol=protocol, coding=Coding(numbers=numbers))
    for pair in found.pairs:
        labels = np.array(Image.open(pair.labels))
        miniature_datasets.save_labels(pair.labels, np.where(labels > 40, 41, labels))
    report = measure(tiny, found, masks=True, options=Options(min_confidence=0.6))
    for figures in report.maps.values():
        assert figures.per_class["background"] > 0.95
        assert figures.accuracy > 0.95


def test_similarities_are_of_the_size_asked_for_and_the_classes_are_made_of_them(scenes, tiny):
    photo = np.array(Image.open(next((scenes / "images").iterdir())))
    queries, options = tiny.embed(Vocabulary.parse(["red plain", "grass, sky", "stone"])), Options(use_loftup=False)
    assert tiny.similarities(photo, queries, options, short_side=100).shape == (4, 100, 130)
    similarities = tiny.similarities(photo, queries, options)
    known = tiny.class_map(photo, queries, options)
    found = predict(similarities, queries, photo.shape[:2], Protocol(), tiny.manifest.clip.logit_scale)
    np.testing.assert_array_equal(found.index, known.index)
    np.testing.assert_allclose(found.confidence, known.confidence, atol=1e-5)


def test_a_class_map_that_is_known_decides_what_sam2_is_asked_for(scenes, tiny):
    photo = np.array(Image.open(next((scenes / "images").iterdir())))
    queries, options, timer = tiny.embed(Vocabulary.parse(["red plain", "blue plain"])), Options(), StageTimer()
    half = np.zeros(photo.shape[:2], np.int32)
    half[:, 130:] = 1
    known = ClassMap(half, np.ones(half.shape, np.float32), np.ones(2, np.float32))
    found = tiny.segment(photo, queries, options, timer, dense=known)
    np.testing.assert_array_equal(found.dense, half + 1)
    assert found.prompt_count == 2
    assert "clip" not in timer.seconds


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--dataset", "voc21"], "--dataset voc21 needs --root"),
        (["--dataset", "scenes", "--masks"], "--masks is for the datasets on disk"),
        (["--dataset", "scenes", "--root", "."], "--root is for the datasets on disk"),
        (["--dataset", "cityscapes", "--root", "tests"], "leftImg8bit/val/CITY/NAME_leftImg8bit.png"),
    ],
    ids=["no root", "masks of scenes", "root of scenes", "not there"],
)
def test_what_cannot_be_measured_is_told(arguments, told, capsys):
    assert main(["eval", *arguments]) == 2
    assert told in capsys.readouterr().err
