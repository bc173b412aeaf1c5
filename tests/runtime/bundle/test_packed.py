"""A bundle as one file: the same bundle when it is opened, and nothing but a bundle's plain files comes out of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import multiprocessing
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from hollow_bundle import TINY, write_hollow_bundle
from wordmask.bundle.card import LICENCES_NAME, licences, model_card
from wordmask.bundle.manifest import Model
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.opening import open_bundle
from wordmask.bundle.search import find_bundle
from wordmask.bundle.unpacking import SUMS_NAME, unpacked
from wordmask.cli.main import main
from wordmask.errors import BundleError, OutputError
from wordmask.system.user_cache import made_once

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bundle(tmp_path) -> Path:
    write_hollow_bundle(tmp_path / "scenes")
    return tmp_path / "scenes"


@pytest.fixture
def packed(bundle, tmp_path) -> Path:
    assert main(["pack", str(bundle), "--output", str(tmp_path / "b.wordmask")]) == 0
    return tmp_path / "b.wordmask"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_packed_bundle_is_the_bundle_and_is_unpacked_once(bundle, packed, cache):
    opened = open_bundle(packed)
    assert opened.manifest == read_manifest(bundle)
    assert opened.folder.parent == cache / "packed"
    names = {path.name for path in opened.folder.iterdir()}
    assert names == {path.name for path in bundle.iterdir()} | {"README.md", LICENCES_NAME}
    before = opened.folder.stat().st_ino
    assert open_bundle(str(packed)).folder == opened.folder
    assert opened.folder.stat().st_ino == before
    assert {path.name for path in (cache / "packed").iterdir()} == {".lock", opened.folder.name}


def test_the_shipped_bundle_runs_from_one_file(examples, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["pack", "tiny"]) == 0
    words = ["--vocabulary", "blue plain", "--background", "none", "--threads", "1"]
    scene = str(examples.parent / "scenes" / "01.png")
    assert main(["run", scene, *words, "--bundle", "tiny.wordmask", "--output", "out"]) == 0
    assert json.loads(Path("out/run.json").read_text())["bundle"]["id"] == read_manifest(TINY).bundle_id


def test_a_copy_in_the_cache_that_was_damaged_later_is_named_with_what_to_remove(packed):
    folder = open_bundle(packed).folder
    (folder / "loftup.onnx").write_bytes(b"cut")
    with pytest.raises(BundleError, match=rf"loftup\.onnx: 3 bytes.*remove {folder} to have it made again"):
        open_bundle(packed)
    shutil.rmtree(folder)
    assert open_bundle(packed).folder == folder


def test_the_same_bundle_gives_the_same_bytes_and_says_its_hash(bundle, packed, tmp_path, capsys):
    copy = shutil.copytree(bundle, tmp_path / "elsewhere")
    (copy / "engines").mkdir()
    (copy / "engines" / "engine.plan").write_bytes(b"code of one machine")
    assert main(["pack", str(copy), "--output", str(tmp_path / "again.wordmask")]) == 0
    assert (tmp_path / "again.wordmask").read_bytes() == packed.read_bytes()
    assert f"sha256 {hashlib.sha256(packed.read_bytes()).hexdigest()}" in capsys.readouterr().out


def test_common_tools_unpack_it_and_check_it(bundle, packed, tmp_path):
    zipfile.main(["--extract", str(packed), str(tmp_path / "plain")])
    done = subprocess.run(["sha256sum", "-c", SUMS_NAME], cwd=tmp_path / "plain", capture_output=True, check=True)
    assert done.stdout.count(b": OK\n") == len(list((tmp_path / "plain").iterdir())) - 1
    assert open_bundle(tmp_path / "plain").manifest == read_manifest(bundle)


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("scenes.wordmask").write_bytes(b"earlier")
    assert main(["pack", "scenes"]) == 2
    assert "scenes.wordmask exists: --force replaces it" in capsys.readouterr().err
    assert Path("scenes.wordmask").read_bytes() == b"earlier"
    assert main(["pack", "scenes", "--force"]) == 0
    assert zipfile.is_zipfile("scenes.wordmask")
    assert main(["pack", "scenes", "--output", "scenes.zip"]) == 2
    assert "expected a name that ends in .wordmask" in capsys.readouterr().err


def test_a_damaged_bundle_is_not_packed_and_nothing_is_left(bundle, tmp_path, capsys):
    (bundle / "loftup.onnx").write_bytes(b"cut")
    (tmp_path / "out").mkdir()
    assert main(["pack", str(bundle), "--output", str(tmp_path / "out" / "x.wordmask")]) == 2
    assert "loftup.onnx: 3 bytes, the manifest says" in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_changes_while_it_is_packed_ends_the_packing(bundle, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("wordmask.bundle.packing._read", lambda path: iter([bytes(path.stat().st_size)]))
    assert main(["pack", str(bundle), "--output", str(tmp_path / "x.wordmask")]) == 2
    assert "was changed while it was packed" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [bundle]


def test_a_flipped_bit_or_a_cut_anywhere_is_refused_and_leaves_nothing(packed, tmp_path, cache):
    content = packed.read_bytes()
    damaged = tmp_path / "damaged.wordmask"
    for at in range(1000, len(content), len(content) // 30):  # before stands a name, in a header that has no hash
        for change in (content[:at], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]):
            damaged.write_bytes(change)
            with pytest.raises(BundleError, match=r"damaged\.wordmask: .*copy or download it again"):
                open_bundle(damaged)
    assert [path.name for path in (cache / "packed").glob("*")] == [".lock"]


def archive(path: Path, files: dict[str, bytes], *, sums: dict[str, bytes] | None = None, **kinds) -> Path:
    """An archive of files; SHA256SUMS is right for `sums`, or for the files themselves."""
    listed = files if sums is None else sums
    table = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in listed.items())
    with zipfile.ZipFile(path, "w", kinds.get("compression", zipfile.ZIP_STORED)) as out:
        for name, content in {**files, SUMS_NAME: table.encode()}.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = kinds.get("compression", zipfile.ZIP_STORED)
            info.external_attr = kinds.get("mode", 0o100644) << 16
            out.writestr(info, content)
    return path


@pytest.mark.parametrize(
    "name",
    ["../outside", "/absolute", "folder/file", "a\\b", ".hidden", "-dash", "", "name with blanks", "engines/", "a\nb"],
)
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, cache, name):
    path = archive(tmp_path / "odd.wordmask", {"manifest.json": b"{}", name: b"x"})
    with pytest.raises(BundleError, match="uncompressed files with plain names alone"):
        unpacked(path)
    assert not cache.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd.wordmask"]


def test_compressed_entries_are_refused_before_they_are_read(tmp_path):
    """A few kilobytes could become terabytes."""
    bomb = archive(tmp_path / "b.wordmask", {"manifest.json": bytes(1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="uncompressed files"):
        unpacked(bomb)


def test_entries_that_share_their_bytes_are_refused(tmp_path):
    """Each could be as large as the file: their sum must not be larger than that."""
    path = archive(tmp_path / "o.wordmask", {"manifest.json": bytes(5000), "other": b""})
    content = path.read_bytes()
    entry = content.rindex(b"PK\x01\x02", 0, content.index(b"other", content.index(b"PK\x01\x02")))
    sizes = (9000).to_bytes(4, "little") * 2
    path.write_bytes(content[: entry + 20] + sizes + content[entry + 28 :])
    with pytest.raises(BundleError, match="its files would be larger than itself"):
        unpacked(path)


def test_a_link_in_an_archive_becomes_a_file_of_its_text(tmp_path):
    files = {"manifest.json": b"{}", "link": b"/etc/passwd"}
    folder = unpacked(archive(tmp_path / "l.wordmask", files, mode=0o120777))
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_bytes() == b"/etc/passwd"


@pytest.mark.parametrize(
    ("files", "sums", "message"),
    [
        (
            {"manifest.json": b"{}"},
            {"manifest.json": b"other"},
            "the sha256 of manifest.json is not that in SHA256SUMS",
        ),
        ({"manifest.json": b"{}", "more": b""}, {"manifest.json": b"{}"}, "does not list the files of the archive"),
        ({"manifest.json": b"{}"}, {"manifest.json": b"{}", "gone": b""}, "does not list the files of the archive"),
        ({"manifest.json": b"{}"}, {"../manifest.json": b"{}"}, "does not list the files of the archive"),
        ({"other": b""}, None, r"it holds no manifest\.json; `wordmask pack` makes one"),
        ({"manifest.json": b"", "A": b"", "a": b""}, None, "holds a name twice"),
        ({"manifest.json": b"", **{f"f{n}": b"" for n in range(70)}}, None, "more than 64 files"),
    ],
)
def test_an_archive_whose_hashes_do_not_fit_is_refused(tmp_path, cache, files, sums, message):
    with pytest.raises(BundleError, match=message):
        unpacked(archive(tmp_path / "x.wordmask", files, sums=sums))
    assert list(cache.glob("packed/[!.]*")) == []


def test_an_unpacked_bundle_passes_the_checks_of_any_other(tmp_path):
    path = archive(tmp_path / "x.wordmask", {"manifest.json": b'{"schema": 1}'})
    with pytest.raises(BundleError, match=r"schema is 1, this version of wordmask reads"):
        open_bundle(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"), (b"<html>404", "web page"), (b"", "zip")],
)
def test_a_file_that_is_no_archive_is_refused_with_what_it_is(tmp_path, content, message):
    (tmp_path / "x.wordmask").write_bytes(content)
    with pytest.raises(BundleError, match=rf"x\.wordmask: is not a packed bundle, or damaged .*{message}"):
        find_bundle(tmp_path / "x.wordmask")


def test_a_packed_bundle_that_is_not_there_is_said_so(tmp_path):
    with pytest.raises(BundleError, match=r"there is no file .*gone\.wordmask"):
        find_bundle(tmp_path / "gone.wordmask")


def test_a_cache_that_cannot_be_written_is_an_output_error(packed, cache):
    cache.mkdir()
    (cache / "packed").write_text("in the way")
    with pytest.raises(OutputError, match=r"cannot write .*packed"):
        unpacked(packed)


def count(name: str, cache: Path, calls: Path) -> None:
    import os
    import time

    os.environ["WORDMASK_CACHE"] = str(cache)

    def make(work: Path) -> None:
        with calls.open("a") as stream:
            stream.write("made\n")
        time.sleep(0.1)
        (work / "file").write_text("whole")

    assert (made_once(name, make) / "file").read_text() == "whole"


def test_processes_that_open_it_at_the_same_time_unpack_it_once(tmp_path, cache):
    calls = tmp_path / "calls"
    spawn = multiprocessing.get_context("fork")
    processes = [spawn.Process(target=count, args=("kind/name", cache, calls)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert calls.read_text() == "made\n"


def test_what_a_killed_process_left_is_removed(cache):
    left = cache / "kind" / ".wordmask-part-0123"
    left.mkdir(parents=True)
    (left / "half").write_text("half of a graph")
    assert list(made_once("kind/name", lambda work: None).iterdir()) == []
    assert not left.exists()


def model(licence: str) -> Model:
    return Model("m", "huggingface.co/o/m/w.bin", "0" * 40, "1" * 64, licence)


def test_the_licences_of_the_weights_go_along(packed):
    models = {
        "clip": model("MIT (OpenAI)"),
        "loftup": model("see github.com/andrehuang/loftup"),  # of a bundle that an earlier version built
        "sam2": model("Apache-2.0 (Meta)"),
    }
    text = licences(dataclasses.replace(read_manifest(TINY), models=models))
    assert "loftup: m, huggingface.co/o/m/w.bin at 0000000000000000000000000000000000000000: MIT (Haiwen Huang)" in text
    for notice in ("Copyright (c) 2021 OpenAI", "Copyright (c) 2025 Haiwen Huang", "The above copyright notice"):
        assert notice in text
    assert text.count("MIT License") == 2
    assert text.count((ROOT / "LICENSE").read_text().strip()) == 1
    with zipfile.ZipFile(packed) as found:
        own = found.read(LICENCES_NAME).decode()
    assert "Copyright (c) 2021 OpenAI" in own  # of the tokenizer's merges
    assert "Haiwen Huang" not in own


def test_a_model_card_has_the_hubs_head_and_the_origin_of_each_model(bundle, packed):
    yaml = pytest.importorskip("yaml")
    manifest = read_manifest(bundle)
    with zipfile.ZipFile(packed) as found:
        card = found.read("README.md").decode()
    assert card == model_card(manifest)
    _, head, body = card.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert (facts["license"], facts["library_name"], facts["pipeline_tag"]) == (
        "apache-2.0",
        "wordmask",
        "image-segmentation",
    )
    for part in (
        manifest.bundle_id,
        "trained on synthetic scenes",
        *(entry.name for entry in manifest.models.values()),
    ):
        assert part in body


def test_the_bundles_own_card_is_kept(bundle, tmp_path):
    (bundle / "README.md").write_text("by hand")
    assert main(["pack", str(bundle), "--output", str(tmp_path / "x.wordmask")]) == 0
    with zipfile.ZipFile(tmp_path / "x.wordmask") as found:
        assert found.read("README.md") == b"by hand"


def test_a_features_bundle_can_be_packed(features_bundle, tmp_path):
    from wordmask.bundle.opening import open_any_bundle

    assert main(["pack", str(features_bundle), "--output", str(tmp_path / "f.wordmask")]) == 0
    assert open_any_bundle(tmp_path / "f.wordmask").manifest == open_any_bundle(features_bundle).manifest
    with zipfile.ZipFile(tmp_path / "f.wordmask") as found:
        assert b"pipeline_tag: image-feature-extraction" in found.read("README.md")
