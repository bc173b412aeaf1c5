"""Readers of yolo-seg. Masks in one piece come back exactly; pieces are joined by bridges, which readers paint."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from wordmask.cli.main import main
from wordmask.convert.conversion import convert
from wordmask.outputs.finished_run import FinishedRun
from wordmask.rle import decode

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]


def check(mixed, found) -> None:
    """As mixed.check, but for the bridges: one pixel wide, between the two pieces of the red thing."""
    assert sorted(found) == sorted(mixed.photos)
    for name, read in found.items():
        expected = dict(mixed.masks(name))
        assert sorted(word for word, _ in read) == sorted(expected)
        for word, each in read:
            mask = np.asarray(each, dtype=bool)
            if word == "grün":
                np.testing.assert_array_equal(mask, expected[word])
            assert mask[expected[word]].all()
            assert (mask & ~expected[word]).sum() <= 40  # the pieces' distance
            assert cv2.connectedComponents(mask.astype(np.uint8))[0] == 2


@pytest.mark.parametrize("placing", ["link", "copy", "upright"])
def test_ultralytics(converted, mixed, placing):
    data = pytest.importorskip("ultralytics.data.dataset")
    utils = pytest.importorskip("ultralytics.data.utils")
    folder = converted("yolo-seg", placing=placing)
    settings = utils.check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    assert settings["path"] == folder
    read = data.YOLODataset(img_path=settings["train"], data=settings, task="segment", augment=False, imgsz=64)
    assert read.transforms is not None
    found = {}
    for entry in read.labels:
        name = str(Path(entry["im_file"]).relative_to(folder / "images" / "train").with_suffix(""))
        masks = []
        for segment in entry["segments"]:
            mask = utils.polygon2mask(entry["shape"], [(segment * entry["shape"][::-1]).ravel()])
            masks.append(mask)
        words = [settings["names"][int(number)] for number in entry["cls"].ravel()]
        found[name] = list(zip(words, masks, strict=True))
    check(mixed, found)


def test_ultralytics_trains_on_the_displayed_photo(converted, mixed):
    data = pytest.importorskip("ultralytics.data.dataset")
    utils = pytest.importorskip("ultralytics.data.utils")
    folder = converted("yolo-seg", placing="link")
    settings = utils.check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    read = data.YOLODataset(img_path=settings["train"], data=settings, task="segment", augment=False, imgsz=64)
    for i, entry in enumerate(read.labels):
        image, *_ = read.load_image(i)
        assert image.shape[:2] == entry["shape"]
        name = str(Path(entry["im_file"]).relative_to(folder / "images" / "train").with_suffix(""))
        for word, mask in mixed.masks(name):
            bright = image[..., 2 if word == "red thing" else 1] > 200  # BGR
            np.testing.assert_array_equal(bright, mask)


def test_supervision_reads_a_folder_without_its_subfolders(converted, mixed):
    supervision = pytest.importorskip("supervision")
    folder = converted("yolo-seg", placing="hardlink")
    found = {}
    for part in ("", "deep/er"):
        photos, labels = folder / "images" / "train" / part, folder / "labels" / "train" / part
        read = supervision.DetectionDataset.from_yolo(
            str(photos), str(labels), str(folder / "data.yaml"), force_masks=True
        )
        for path, _, detections in read:
            words = [read.classes[i] for i in detections.class_id] if len(detections) else []
            masks = [] if detections.mask is None else detections.mask
            name = str(Path(path).relative_to(folder / "images" / "train").with_suffix(""))
            found[name] = list(zip(words, masks, strict=True))
    check(mixed, found)


def test_what_bridges_and_points_in_between_cost_on_the_example_scenes(tmp_path, capsys):
    """Prints the figures of docs/convert.md."""
    utils = pytest.importorskip("ultralytics.data.utils")
    resample = pytest.importorskip("ultralytics.utils.ops").resample_segments
    scenes = Path(__file__).resolve().parents[3] / "examples" / "scenes"
    options = ["--vocabulary", f"@{scenes / 'words.txt'}", "--background", "none", "--bundle", "tiny", "--threads", "1"]
    assert main(["run", str(scenes), *options, "--output", str(tmp_path / "out")]) == 0
    convert(tmp_path / "out", "yolo-seg", tmp_path / "yolo")
    run = FinishedRun.open(tmp_path / "out")
    overlaps: dict[tuple[bool, bool], list[float]] = {}
    for photo in map(run.read, run.entries()):
        size = np.array(photo.size[::-1], dtype=np.float32)
        lines = (tmp_path / "yolo" / "labels" / "train" / f"{photo.name}.txt").read_text().splitlines()
        for line, found in zip(lines, photo.objects, strict=True):
            expected = decode(found.mask)
            whole = cv2.connectedComponents(expected.astype(np.uint8))[0] == 2
            for resampled in (False, True):
                points = np.array(line.split()[1:], dtype=np.float32).reshape(-1, 2)
                points = resample([points], 1000)[0] if resampled else points
                mask = utils.polygon2mask(photo.size, [(points * size).ravel()]) > 0
                share = (mask & expected).sum() / (mask | expected).sum()
                overlaps.setdefault((whole, resampled), []).append(float(share))
    with capsys.disabled():
        for (whole, resampled), shares in sorted(overlaps.items()):
            figures = f"{len(shares)} objects, IoU {np.mean(shares):.4f}, worst {min(shares):.4f}"
            sys.stdout.write(f"{whole=} {resampled=} {figures}\n")
    assert min(overlaps[True, False]) == 1
    assert np.mean(overlaps[True, True]) > 0.995
    assert np.mean(overlaps[False, True]) > 0.98
