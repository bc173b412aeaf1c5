"""`wordmask run` as a user meets it: outputs, messages, exit status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photos import picture_size
from wordmask.cli.main import main
from wordmask.formats.palette import voc_palette
from wordmask.formats.terminal import printable
from wordmask.rle import RLE
from wordmask.rle import decode as decode_rle
from wordmask.run.find_photos import find_photos
from wordmask.system.files import TEMPORARY


def run(bundle, out, *arguments, words=("cat", "cup, mug")):
    places = ["--bundle", str(bundle), "--output", str(out)]
    thresholds = ["--min-confidence", "0.03", "--min-region-size", "400"]
    return main(["run", *map(str, arguments), "--vocabulary", *words, *places, *thresholds])


@pytest.fixture(scope="module")
def folder(examples, tmp_path_factory):
    """Two good photos and one cut off, in a folder with a note."""
    path = tmp_path_factory.mktemp("photos")
    content = (examples / "chelsea.jpg").read_bytes()
    (path / "cat.jpg").write_bytes(content)
    (path / "cut.jpg").write_bytes(content[: len(content) // 2])
    Image.open(examples / "coffee.jpg").resize((150, 100)).save(path / "cup.png")
    (path / "notes.txt").write_text("no photo")
    return path


@pytest.fixture(scope="module")
def finished(folder, small_bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    status = run(small_bundle, out, folder, "--overlay", "--save-dense", "--background", "none")
    return out, status


def test_a_bad_photo_is_a_row_and_exit_status_3(finished):
    out, status = finished
    rows = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert status == 3
    assert [(row["name"], row["status"]) for row in rows] == [("cat", "ok"), ("cup", "ok"), ("cut", "TRUNCATED")]
    assert rows[0]["prompts"] >= rows[0]["instances"] > 0
    assert rows[0]["seconds"]["sam2_encoder"] > 0
    assert "cut.jpg" in rows[2]["error"]


def test_annotations_load_in_pycocotools_and_equal_the_semantic_map(finished, capsys):
    coco_module = pytest.importorskip("pycocotools.coco")
    out, _ = finished
    coco = coco_module.COCO(str(out / "annotations.json"))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["cat", "cup"]
    for image in coco.loadImgs(coco.getImgIds()):
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
        painted = np.zeros((image["height"], image["width"]), np.uint8)
        for annotation in sorted(annotations, key=lambda a: a["score"]):
            mask = coco.annToMask(annotation)
            x, y, width, height = annotation["bbox"]
            assert mask.sum() == mask[y : y + height, x : x + width].sum() == annotation["area"]
            np.testing.assert_array_equal(
                mask, decode_rle(RLE(tuple(annotation["segmentation"]["size"]), annotation["segmentation"]["counts"]))
            )
            painted[mask > 0] = annotation["category_id"]
        name = Path(image["file_name"]).stem
        np.testing.assert_array_equal(np.asarray(Image.open(out / "semantic" / f"{name}.png")), painted)


def test_label_pictures_have_the_voc_palette_and_the_photos_size(finished, folder):
    out, _ = finished
    for kind in ("semantic", "dense"):
        picture = Image.open(out / kind / "cat.png")
        assert picture.mode == "P"
        assert picture.size == picture_size(folder / "cat.jpg")
        np.testing.assert_array_equal(np.reshape(picture.getpalette(), (-1, 3))[:3], voc_palette()[:3])
    confidence = np.asarray(Image.open(out / "confidence" / "cat.png"))
    assert confidence.dtype == np.uint16
    assert picture_size(out / "overlay" / "cat.jpg") == picture_size(folder / "cat.jpg")


def test_run_json_tells_settings_bundle_and_totals(finished, small_bundle):
    out, _ = finished
    summary = json.loads((out / "run.json").read_text())
    manifest = json.loads((small_bundle / "manifest.json").read_text())
    assert summary["bundle"]["id"] == manifest["bundle_id"]
    assert summary["settings"]["vocabulary"] == [["cat"], ["cup", "mug"]]
    assert summary["settings"]["min_confidence"] == 0.03
    assert summary["totals"]["statuses"] == {"TRUNCATED": 1, "ok": 2}
    assert summary["totals"]["images_per_second"] > 0
    assert summary["prompt_reduction"]["against_1024_points"] == pytest.approx(
        1 - summary["prompts_per_image"] / 1024, abs=1e-4
    )


def test_each_photo_has_its_own_annotations_which_the_whole_is_made_of(finished):
    out, _ = finished
    whole = json.loads((out / "annotations.json").read_text())
    assert [annotation["id"] for annotation in whole["annotations"]] == list(range(1, len(whole["annotations"]) + 1))
    assert [image["id"] for image in whole["images"]] == [1, 2]
    put_together = []
    for image in whole["images"]:
        own = json.loads((out / "annotations" / f"{Path(image['file_name']).stem}.json").read_text())
        assert [own[key] for key in ("file_name", "height", "width")] == [*image.values()][1:]
        put_together += [{"image_id": image["id"], **annotation} for annotation in own["annotations"]]
    assert put_together == [{key: value for key, value in one.items() if key != "id"} for one in whole["annotations"]]


def test_a_second_run_with_other_settings_is_exit_status_2(small_bundle, folder, tmp_path, capsys):
    assert run(small_bundle, tmp_path, folder / "cup.png") == 0
    assert run(small_bundle, tmp_path, folder / "cup.png", words=("dog",)) == 2
    assert 'vocabulary was [["cat"], ["cup", "mug"]] and is now [["dog"]]' in capsys.readouterr().err


def test_nothing_partial_is_left(finished):
    out, _ = finished
    assert not [path for path in out.rglob("*") if path.name.startswith(TEMPORARY)]
    assert not (out / "semantic" / "cut.png").exists()


def test_random_weights_are_warned_of(small_bundle, folder, tmp_path, capsys):
    assert run(small_bundle, tmp_path, folder / "cup.png") == 0
    captured = capsys.readouterr()
    assert "random weights: its masks mean nothing" in captured.err
    assert "1 of 1 photos" in captured.out


def test_nothing_found_names_the_option_that_would_have_helped(small_bundle, folder, tmp_path, capsys):
    main(
        [
            "run",
            str(folder / "cup.png"),
            "--vocabulary",
            "cat",
            "--bundle",
            str(small_bundle),
            "--output",
            str(tmp_path),
        ]
    )
    text = capsys.readouterr().err
    assert "nothing found; best confidence: cat 0." in text
    assert "--min-confidence is 0.7" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.jpg", "--vocabulary", "cat"], "nowhere.jpg does not exist"),
        (["{empty}", "--vocabulary", "cat"], "no photos in"),
        (["{photo}", "--vocabulary", " "], "empty entry"),
        (["{photo}", "--vocabulary", "@none.txt"], "none.txt: cannot be read"),
        (["{photo}", "--vocabulary", "cat", "--device", "cuda"], "only"),
        (
            ["{photo}", "--vocabulary", "cat", "--device", "tpu"],
            "expected auto, cpu, openvino, openvino:bf16, cuda, tensorrt or tensorrt-rtx",
        ),
        (["{photo}", "--vocabulary", "cat", "--bundle", "nope"], "no bundle named 'nope'"),
        (["{photo}", "--vocabulary", "cat", "--background", "grass"], "expected default, none or @FILE"),
        (["{photo}", "--vocabulary", "cat", "--min-confidence", "7"], "must lie between 0 and 1"),
        (["{photo}", "--vocabulary", "cat", "--threads", "0"], "at least 1"),
        (["{photo}", "--vocabulary", "cat", "--in-flight", "0"], "in_flight is 0: it must be at least 1"),
    ],
)
def test_bad_usage_is_exit_status_2_and_one_line(small_bundle, folder, tmp_path, capsys, arguments, message):
    (tmp_path / "empty").mkdir()
    places = {"{photo}": str(folder / "cup.png"), "{empty}": str(tmp_path / "empty")}
    given = [places.get(argument, argument) for argument in arguments]
    bundle = [] if "--bundle" in given else ["--bundle", str(small_bundle)]
    assert main(["run", *given, *bundle, "--output", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_exit_status_4(small_bundle, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert run(small_bundle, tmp_path / "file", folder / "cup.png") == 4
    assert "cannot write" in capsys.readouterr().err


def test_words_and_background_from_files(small_bundle, folder, tmp_path):
    (tmp_path / "words.txt").write_text("cat, kitten\ncup\n", encoding="utf-8")
    (tmp_path / "back.txt").write_text("wall, floor\n", encoding="utf-8")
    status = run(
        small_bundle, tmp_path / "out", folder / "cup.png", "--background", f"@{tmp_path / 'back.txt'}",
        words=(f"@{tmp_path / 'words.txt'}", "dog"),
    )  # fmt: skip
    settings = json.loads((tmp_path / "out" / "run.json").read_text())["settings"]
    assert status == 0
    assert settings["vocabulary"] == [["cat", "kitten"], ["cup"], ["dog"]]
    assert settings["background"] == ["wall", "floor"]


def test_photos_that_share_a_name_have_outputs_of_their_own(tmp_path):
    for name in ("a.jpg", "a.png", "B.JPG", "b/c.jpg", "x.tar.jpg"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    flat = {job.path.name: job.name for job in find_photos([tmp_path / "in"])}
    assert flat == {"a.jpg": "a.jpg", "a.png": "a.png", "B.JPG": "B", "x.tar.jpg": "x.tar"}
    deep = [job.name for job in find_photos([tmp_path / "in"], recursive=True)]
    assert str(Path("b", "c")) in deep
    twice = [job.name for job in find_photos([tmp_path / "in" / "a.jpg", tmp_path / "in" / "a.jpg"])]
    assert twice == ["a"]


def test_an_output_folder_inside_the_input_is_not_read_again(tmp_path):
    for name in ("a.jpg", "out/overlay/a.jpg", "outer/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_photos([tmp_path], recursive=True, apart_from=tmp_path / "out")
    assert [job.name for job in found] == ["a", str(Path("outer", "b"))]


def test_a_file_name_that_is_no_unicode_is_kept(small_bundle, examples, tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / name).write_bytes((examples / "chelsea.jpg").read_bytes())
    out = tmp_path / "out"
    assert run(small_bundle, out, tmp_path) == 0
    row = json.loads((out / "journal.jsonl").read_text(encoding="utf-8"))
    assert Path(row["photo"]) == tmp_path / name
    assert (out / "semantic" / os.fsdecode(b"caf\xe9.png")).is_file()


def test_control_characters_in_names_are_shown_escaped():
    assert printable("a\nb\x1b[31m.jpg é") == "a\\nb\\x1b[31m.jpg é"


def start(arguments):
    command = [sys.executable, "-m", "wordmask", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_soon(small_bundle, examples, tmp_path, number, status):
    photos, out = tmp_path / "in", tmp_path / "out"
    photos.mkdir()
    for copy in range(200):
        (photos / f"{copy}.jpg").symlink_to(examples / "rocket.jpg")
    process = start(["run", str(photos), "--vocabulary", "cat", "--bundle", str(small_bundle), "--output", str(out)])
    deadline = time.monotonic() + 60
    while not list(out.glob("semantic/*.png")) and time.monotonic() < deadline:
        time.sleep(0.05)
    sent = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == status, error
    rows = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    finished = [row for row in rows if row["status"] == "ok"]
    annotations = json.loads((out / "annotations.json").read_text())
    assert len(annotations["images"]) == len(finished) < 200  # what was computed is not lost
    assert json.loads((out / "run.json").read_text())["finished"] is False
    assert time.monotonic() - sent < 4  # 2 s on a free machine
    assert "Traceback" not in error


def test_help_is_quick_and_complete():
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "wordmask", "run", "--help"], capture_output=True, text=True, check=True
    )
    assert time.monotonic() - started < 2  # 0.15 s on a free machine
    for option in (
        "--vocabulary",
        "--min-confidence",
        "--no-loftup",
        "--background",
        "--restart",
        "--retry-quarantined",
    ):
        assert option in done.stdout
