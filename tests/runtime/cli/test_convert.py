"""`wordmask convert` as a command: where it writes, what it refuses, its exit statuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from folder_runs import run
from stub_segmenter import Trouble, write_photos
from wordmask.cli.exit_status import CANNOT_WRITE, OK, SOME_PHOTOS_FAILED, USAGE
from wordmask.cli.main import main


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("converted")
    run(write_photos(folder / "photos", 4, {2: Trouble.NAN}), folder / "out")
    return folder / "out"


@pytest.fixture
def out(original, tmp_path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "out"))


def convert(out: Path, *arguments: str, kind: str = "geojson") -> int:
    return main(["convert", str(out), "--format", kind, *map(str, arguments)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_each_format_has_a_folder_of_its_own_and_failed_photos_are_told_of(out, capsys):
    assert convert(out) == convert(out, kind="voc") == OK
    assert names(out / "convert") == ["geojson", "voc"]
    assert names(out / "convert" / "geojson") == [".wordmask-convert.json", *(f"00{i}.geojson" for i in (0, 1, 3))]
    said = capsys.readouterr()
    assert said.out.startswith(f"3 photos, {objects(out)} objects: {out / 'convert' / 'geojson'}\n")
    assert "1 of 4 photos failed in the run" in said.err


def objects(out: Path) -> int:
    return len(json.loads((out / "annotations.json").read_bytes())["annotations"])


def test_what_is_there_is_replaced_only_by_force_and_only_what_convert_wrote(out, tmp_path, capsys):
    target = tmp_path / "made"
    assert convert(out, "--output", target) == OK
    (target / "stale.geojson").touch()
    assert convert(out, "--output", target) == USAGE
    assert "--force" in capsys.readouterr().err
    assert convert(out, "--output", target, "--force") == OK
    assert "stale.geojson" not in names(target)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "mine.txt").touch()
    assert convert(out, "--output", foreign, "--force") == USAGE
    assert names(foreign) == ["mine.txt"]
    assert names(tmp_path) == ["foreign", "made", "out"]


def test_a_run_that_is_not_finished_is_refused(out, capsys):
    summary = json.loads((out / "run.json").read_bytes())
    (out / "run.json").write_text(json.dumps({**summary, "finished": False}))
    assert convert(out) == USAGE
    assert "not finished" in capsys.readouterr().err
    assert not (out / "convert").exists()


@pytest.mark.parametrize("places", [("s3://bucket/out",), ("out", "--output", "s3://bucket/made")], ids=["from", "to"])
def test_a_url_is_refused_with_what_to_do_instead(places, out, capsys, monkeypatch):
    monkeypatch.chdir(out.parent)
    assert convert(*places) == USAGE
    told = f"{places[-1]} is a URL, and convert reads and writes folders of this machine: copy the run here first"
    assert told in capsys.readouterr().err
    assert names(out.parent) == ["out"]


@pytest.mark.parametrize("lost", ["run.json", "annotations.json", "journal.jsonl"])
def test_a_folder_without_a_whole_run_is_refused(lost, out, capsys):
    (out / lost).write_text('{"finished": true}\n')
    assert convert(out) == USAGE
    (out / lost).unlink()
    assert convert(out) == USAGE
    assert lost in capsys.readouterr().err
    assert not list(out.rglob("*.geojson"))


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "", "a/../../b", "a\0b"])
def test_a_journal_cannot_lead_out_of_the_folder(name, out, tmp_path, capsys):
    row = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    (out / "journal.jsonl").write_text(json.dumps({**row, "name": name}) + "\n")
    assert convert(out) == USAGE
    assert "line 1 of" in (error := capsys.readouterr().err)
    assert "is not a row that a run writes" in error
    assert names(tmp_path) == ["out"]


DAMAGES = {
    "garbage": lambda shard, found: b"{",
    "bytes": lambda shard, found: b"\xff\xfe",
    "no-photo": lambda shard, found: {**shard, "height": 0},
    "other-size": lambda shard, found: {**shard, "width": shard["width"] + 1},
    "unknown-word": lambda shard, found: [{**found, "category_id": 3}],
    "word-zero": lambda shard, found: [{**found, "category_id": 0}],
    "broken-code": lambda shard, found: [{**found, "segmentation": {"size": [50, 40], "counts": "0000"}}],
    "box-outside": lambda shard, found: [{**found, "bbox": [0, 0, 500, 500]}],
    "box-too-small": lambda shard, found: [{**found, "bbox": [0, 0, 1, 1]}],
    "box-beside": lambda shard, found: [{**found, "bbox": [1, 1, shard["width"] - 1, shard["height"] - 1]}],
    "no-score": lambda shard, found: [{**found, "score": float("nan")}],
    "no-objects": lambda shard, found: {**shard, "annotations": 5},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_photo_whose_annotations_are_damaged_is_left_out(damage, out, capsys):
    path = out / "annotations" / "001.json"
    shard = json.loads(path.read_bytes())
    height, width = shard["height"], shard["width"]
    whole = {"size": [height, width], "counts": everything(height, width)}
    found = {**shard["annotations"][0], "segmentation": whole, "bbox": [0, 0, width, height]}
    damaged = DAMAGES[damage](shard, found)
    damaged = {**shard, "annotations": damaged} if isinstance(damaged, list) else damaged
    path.write_bytes(damaged if isinstance(damaged, bytes) else json.dumps(damaged).encode())
    assert convert(out) == SOME_PHOTOS_FAILED
    assert "left out: " in capsys.readouterr().err
    assert names(out / "convert" / "geojson")[1:] == ["000.geojson", "003.geojson"]


def everything(height: int, width: int) -> str:
    import numpy as np

    from wordmask.rle import encode

    return encode(np.ones((height, width), bool)).counts


def test_a_photo_that_is_gone_is_left_out_where_photos_are_wanted(original, out, tmp_path, capsys):
    photos = tmp_path / "photos"
    shutil.copytree(original.parent / "photos", photos)
    journal = (out / "journal.jsonl").read_text().replace(str(original.parent), str(tmp_path))
    (out / "journal.jsonl").write_text(journal)
    assert convert(out, kind="yolo-seg") == OK
    (photos / "001.png").unlink()
    assert convert(out, "--force", kind="yolo-seg") == SOME_PHOTOS_FAILED
    assert "001.png' is not there" in capsys.readouterr().err
    assert names(out / "convert" / "yolo-seg" / "images" / "train") == ["000.png", "003.png"]
    assert names(out / "convert" / "yolo-seg" / "labels" / "train") == ["000.txt", "003.txt"]
    assert convert(out, "--force", "--photos", "none", kind="yolo-seg") == OK


@pytest.mark.parametrize("placing", ["link", "hardlink", "copy", "upright"])
def test_a_journal_cannot_bring_other_files_than_photos(placing, out, tmp_path, capsys):
    secret = tmp_path / "secret.png"
    secret.write_text("password")
    row = json.loads((out / "journal.jsonl").read_text().splitlines()[0])
    (out / "journal.jsonl").write_text(json.dumps({**row, "photo": str(secret)}) + "\n")
    assert convert(out, "--photos", placing, kind="coco") == SOME_PHOTOS_FAILED
    assert "is no photo" in capsys.readouterr().err
    assert names(out / "convert" / "coco") == [".wordmask-convert.json", "labels.json"]


def test_photos_are_refused_where_the_format_has_no_place_for_them(out, capsys):
    assert convert(out, "--photos", "copy") == USAGE
    assert "no place for photos" in capsys.readouterr().err


def test_stuff_is_an_option_of_coco_panoptic_alone(out, capsys):
    assert convert(out, "--stuff", "red", kind="coco-panoptic") == OK
    document = json.loads((out / "convert" / "coco-panoptic" / "panoptic.json").read_bytes())
    assert {each["name"]: each["isthing"] for each in document["categories"]} == {"red": 0, "green": 1}
    assert convert(out, "--stuff", "red", kind="coco") == USAGE
    assert "leave out --stuff" in capsys.readouterr().err


def test_what_cannot_be_written_is_exit_status_4_and_leaves_nothing(out, tmp_path, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wordmask.convert.geojson.write", full)
    assert convert(out) == CANNOT_WRITE
    assert "No space left" in capsys.readouterr().err
    assert names(out / "convert") == []
