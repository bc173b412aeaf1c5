"""Photos beside their annotations: links, copies, turned copies, and names that every reader takes."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folder_runs import run
from photos import encoded, photo
from wordmask.convert.conversion import convert
from wordmask.convert.photo_files import PhotoFiles, plain_name
from wordmask.errors import ConversionError
from wordmask.outputs.finished_run import RunPhoto
from wordmask.photo import decode
from wordmask.run.find_photos import find_photos

KINDS = {  # name: Pillow's format, and what yolo-seg's and labelme's photos end with
    "a.jfif": ("JPEG", ".jpg", ".jpg"),
    "b.jpe": ("JPEG", ".jpg", ".jpg"),
    "c.JPEG": ("JPEG", ".JPEG", ".JPEG"),
    "d.insp": ("JPEG", ".jpg", ".jpg"),
    "e.mpo": ("MPO", ".jpg", ".jpg"),
    "f.dib": ("BMP", ".bmp", ".bmp"),
    "g.gif": ("GIF", ".png", ".gif"),
    "h.pgm": ("PPM", ".png", ".pgm"),
    "i.avif": ("AVIF", ".png", ".png"),
    "j.jpg": ("PNG", ".png", ".png"),
    "k.TIFF": ("TIFF", ".TIFF", ".TIFF"),
    "l": ("WEBP", ".webp", ".webp"),
}
ULTRALYTICS = {"bmp", "jpeg", "jpg", "mpo", "png", "tif", "tiff", "webp"}  # IMG_FORMATS of all its versions
QT = {"bmp", "gif", "jpeg", "jpg", "pbm", "pgm", "png", "ppm", "tif", "tiff", "webp"}


@pytest.mark.parametrize("placing", ["link", "copy"])
@pytest.mark.parametrize("kind", ["yolo-seg", "labelme"])
def test_no_photo_is_passed_over_for_its_suffix_or_kind(tmp_path, kind, placing, caplog, monkeypatch):
    monkeypatch.setattr("wordmask.convert.photo_files._said", set())
    pixels = np.tile(np.arange(40, dtype=np.uint8)[None, :, None], (30, 1, 3))
    (tmp_path / "in").mkdir()
    for name, (file_format, *_) in KINDS.items():
        Image.fromarray(pixels).save(tmp_path / "in" / name, file_format)
    run(tmp_path / "in", tmp_path / "out", jobs=find_photos([tmp_path / "in" / name for name in KINDS]))
    assert convert(tmp_path / "out", kind, tmp_path / "made", placing=placing).photos == len(KINDS)
    folder = tmp_path / "made" / ("images/train" if kind == "yolo-seg" else "")
    placed = {path.stem: path for path in folder.iterdir() if path.suffix not in (".json", "")}
    assert {stem: path.suffix for stem, path in placed.items()} == {
        Path(name).stem: suffixes[kind == "labelme"] for name, (_, *suffixes) in KINDS.items()
    }
    for path in placed.values():
        with Image.open(path) as image:  # both look at suffix and content
            assert path.suffix[1:].lower() in (ULTRALYTICS if kind == "yolo-seg" else QT)
            assert image.format.lower() in (ULTRALYTICS if kind == "yolo-seg" else {*QT, "mpo"})
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).max() <= 3
    transcoded = ("GIF", "PPM", "AVIF") if kind == "yolo-seg" else ("AVIF",)
    assert [f"of the kind {each} are written as PNG" in caplog.text for each in transcoded] == [True] * len(transcoded)
    if kind == "labelme":
        for name, path in placed.items():
            assert json.loads((tmp_path / "made" / f"{name}.json").read_bytes())["imagePath"] == path.name


def placed(path: Path, folder: Path, placing, **settings) -> Path:
    size = decode(path).shape[:2]
    name = PhotoFiles(placing).place(RunPhoto(1, path.stem, str(path), size, ()), folder, **settings)
    return folder / name


def with_orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize(("kind", "suffix"), [("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".png"), ("TIFF", ".png")])
def test_upright_writes_what_metadata_turn_as_it_is_displayed(write, tmp_path, kind, suffix, orientation):
    settings = {"tiffinfo": {274: orientation}} if kind == "TIFF" else {"exif": with_orientation(orientation)}
    path = write(encoded(photo(40, 60), kind, **settings), f"a.{kind.lower()}")
    found = placed(path, tmp_path / "made", "upright")
    assert found.suffix == (".jpeg" if kind == "JPEG" else suffix)
    with Image.open(found) as image:  # without a look at EXIF
        assert image.format == ("JPEG" if kind == "JPEG" else "PNG")
        assert image.getexif().get(0x0112) is None
        difference = np.abs(np.asarray(image).astype(int) - decode(path))
    assert difference.mean() < (2 if kind == "JPEG" else 1e-9)  # JPEG loses a little


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_upright_copies_what_nothing_turns_byte_by_byte(write, tmp_path, kind):
    path = write(encoded(photo(40, 60), kind, **({"exif": with_orientation(1)} if kind == "JPEG" else {})), "a.jpg")
    assert placed(path, tmp_path / "made", "upright").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("linked", [False, True])
def test_a_hard_link_is_the_photo_itself(write, tmp_path, linked):
    path = write(encoded(photo(), "PNG"), "a.png")
    if linked:
        (tmp_path / "b.png").symlink_to(path)
    found = placed(tmp_path / ("b.png" if linked else "a.png"), tmp_path / "made", "hardlink")
    assert not found.is_symlink()
    assert found.samefile(path)


def test_onto_another_file_system_photos_are_copied_and_it_is_said_once(write, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("wordmask.convert.photo_files._said", set())

    def other_file_system(*arguments, **settings):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", other_file_system)
    for name in ("a.png", "b.png"):
        path = write(encoded(photo(), "PNG"), name)
        found = placed(path, tmp_path / "made", "hardlink")
        assert found.read_bytes() == path.read_bytes()
        assert not found.samefile(path)
    assert caplog.text.count("photos are copied") == 1


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_where_only_jpegs_are_read_other_kinds_become_jpeg_which_is_said(write, tmp_path, monkeypatch, caplog, kind):
    monkeypatch.setattr("wordmask.convert.photo_files._said", set())
    path = write(encoded(photo(), kind), "a.any")
    found = placed(path, tmp_path / "made", "link", kinds=("JPEG",), suffix=".jpg")
    assert found.name == "a.jpg"
    with Image.open(found) as image:
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image).astype(int) - decode(path)).mean() < 6  # grain that JPEG loses
    assert f"photos of the kind {kind} are written as JPEG" in caplog.text


@pytest.mark.parametrize("name", ["a.jpeg", "a.JPG", "a.jfif", "a"])
def test_where_one_suffix_is_read_all_photos_have_it(write, tmp_path, name):
    path = write(encoded(photo(), "JPEG"), name)
    found = placed(path, tmp_path / "made", "copy", kinds=("JPEG",), suffix=".jpg")
    assert found.name == "a.jpg"
    assert found.read_bytes() == path.read_bytes()


def test_a_photo_that_no_jpeg_can_hold_is_left_out(write, tmp_path):
    path = write(encoded(np.zeros((1, 65501, 3), np.uint8), "PNG"), "a.png")
    with pytest.raises(ConversionError, match="more than a JPEG can have"):
        placed(path, tmp_path / "made", "copy", kinds=("JPEG",), suffix=".jpg")
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize("name", ["a", "a/b-1_(2).c", "日本", "é" * 90], ids=["letter", "folder", "script", "long"])
def test_plain_names_stay(name):
    assert plain_name(name) == name


def test_names_that_lists_cannot_carry_are_changed_and_stay_apart():
    names = ["a b", "a\tb", "a\nb", 'a"b', "a#b", "a_b", "images/a", "images_/a", "caf\udce9", "x" * 250, "x" * 251]
    plain = [plain_name(name) for name in names]
    assert len(set(plain)) == len(names)
    for name in plain:
        assert not set(name) & set(" \t\n\"#'")
        assert "images" not in name.split("/")
        assert max(len(part.encode()) for part in name.split("/")) + len(".geojson") <= 255
