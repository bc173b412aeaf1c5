"""Which photos a run takes, and what it says of those that it leaves out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stub_segmenter import write_photos
from wordmask.cli.main import main
from wordmask.outputs.layout import FILES
from wordmask.photo.folders import RESULT_FOLDERS
from wordmask.photo.reading import load
from wordmask.photo.url import Url
from wordmask.run.find_photos import find_photos, refuse_folders_of_photos


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def names(*paths: Path, **settings) -> list[str]:
    """The photos as (relative) paths; raises if one is taken twice."""
    jobs = find_photos(paths, **settings)
    assert len({os.path.realpath(job.file) for job in jobs}) == len(jobs)
    return [os.path.relpath(job.file, paths[0]) for job in jobs]


def test_linked_folders_are_followed_once_each(tmp_path, caplog):
    put(tmp_path / "far", "far.png", "deep/deep.png")
    tree = put(tmp_path / "tree", "a.png", "sub/b.png")
    (tree / "linked").symlink_to("../far")
    (tree / "again").symlink_to(tmp_path / "far")
    (tree / "deeper").symlink_to(tmp_path / "far" / "deep")
    assert names(tree, recursive=True) == ["a.png", "again/deep/deep.png", "again/far.png", "sub/b.png"]
    assert names(tree) == ["a.png"]
    assert not caplog.text


def test_a_folder_keeps_its_own_name_though_a_link_leads_there_too(tmp_path):
    tree = put(tmp_path, "sub/b.png")
    (tree / "a_link").symlink_to("sub")
    assert names(tree, recursive=True) == ["sub/b.png"]


def test_links_in_a_circle_end(tmp_path):
    tree = put(tmp_path / "tree", "a.png", "sub/b.png")
    (tree / "sub" / "up").symlink_to("..")
    (tree / "self").symlink_to(".")
    (tree / "one").symlink_to("two")
    (tree / "two").symlink_to("one")
    assert names(tree, recursive=True) == ["a.png", "sub/b.png"]


def test_a_folder_that_cannot_be_listed_is_said(tmp_path, caplog, monkeypatch):
    tree = put(tmp_path, "a.png", "closed/b.png", "open/c.png")
    listed = os.scandir

    def closed(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert names(tree, recursive=True) == ["a.png", "open/c.png"]
    assert f"left out, folders that cannot be listed: 1 ({str(tree / 'closed')!r})" in caplog.text
    with pytest.raises(ValueError, match=r"closed cannot be listed \(Permission denied\): check its permissions"):
        find_photos([tree / "closed"])


def test_a_link_that_leads_nowhere_is_said(tmp_path, caplog):
    tree = put(tmp_path, "a.png")
    (tree / "unmounted").symlink_to("/nowhere/photos")
    (tree / "gone.png").symlink_to("/nowhere/a.png")
    assert [job.file.name for job in find_photos([tree], recursive=True)] == ["a.png", "gone.png"]  # an IO row
    assert f"left out, links that lead nowhere: 1 ({str(tree / 'unmounted')!r})" in caplog.text


def test_hidden_and_system_folders_are_left_out_and_counted(tmp_path, caplog):
    left_out = (".ipynb_checkpoints", "@eaDir", ".Trash-1000", "__MACOSX", "#recycle", "$RECYCLE.BIN", ".hidden")
    tree = put(tmp_path, "a.png", "sub/b.png", "sub/._b.png", *(f"sub/{folder}/x.png" for folder in left_out))
    assert names(tree, recursive=True) == ["a.png", "sub/b.png"]
    assert "left out, hidden or of the system: 8" in caplog.text
    assert names(tree / "sub" / ".hidden", recursive=True) == ["x.png"]  # it is named


def test_folders_with_results_are_left_out_and_counted(tmp_path, caplog):
    run = ("overlay/a.jpg", "semantic/a.png", "journal.jsonl", "run.json")
    tree = put(
        tmp_path,
        "a.png",
        *(f"run1/{name}" for name in run),
        "overlay/own.png",
        "c/.wordmask-convert.json",
        "c/images/a.png",
    )
    assert names(tree, recursive=True, apart_from=tree / "run2") == ["a.png", "overlay/own.png"]
    assert "left out, folders with results of wordmask: 2" in caplog.text
    assert "run1" in caplog.text
    assert names(tree / "run1" / "overlay") == ["a.jpg"]  # it is named


def test_of_an_input_that_is_the_output_too_the_results_are_no_photos(tmp_path, caplog):
    tree = put(tmp_path / "in", "a.png", "overlay/a.jpg", "semantic/a.png", "report_assets/thumbs/a.jpg", "sub/b.png")
    assert names(tree, recursive=True, apart_from=tree) == ["a.png", "sub/b.png"]
    assert "left out, folders with results of wordmask: 3" in caplog.text
    (tmp_path / "link").symlink_to("in")
    assert names(tree, recursive=True, apart_from=tmp_path / "link") == ["a.png", "sub/b.png"]
    put(tree, "run.json", "journal.jsonl")
    assert names(tree, recursive=True) == ["a.png", "sub/b.png"]  # of another run


def test_an_input_inside_the_output_is_taken(tmp_path):
    put(tmp_path / "out", "photos/a.png", "photos/semantic/b.png", "overlay/a.jpg")
    photos = tmp_path / "out" / "photos"
    assert names(photos, recursive=True, apart_from=tmp_path / "out") == ["a.png", "semantic/b.png"]


def test_an_output_that_would_replace_a_photo_is_refused(tmp_path):
    out = put(tmp_path / "out", "overlay/a.jpg", "b.png")
    for photo, output in ((out / "overlay", out), (out / "overlay" / "a.jpg", out), (out / "b.png", out / "b.png")):
        with pytest.raises(ValueError, match=r"is a photo, and this command would write there: give another --output"):
            find_photos([photo], apart_from=output)


def test_a_photo_that_is_named_twice_is_taken_once(tmp_path, caplog, monkeypatch):
    put(tmp_path / "p", "a.png", "b.png", "sub/c.png")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("p")
    for again in (
        Path("p", "a.png"),
        Path(".", "p", "..", "p", "a.png"),
        tmp_path / "p",
        Path("link"),
        Path("link", "b.png"),
    ):
        caplog.clear()
        jobs = find_photos([Path("p"), again])
        assert [job.name for job in jobs] == ["a", "b"]
        assert f"taken once, named more than once: 1 ({str(again)!r})" in caplog.text
    assert [job.name for job in find_photos([Path("p", "sub"), Path("p")], recursive=True)] == ["c", "a", "b"]


def test_a_photo_linked_under_another_name_is_one_of_its_own(tmp_path):
    tree = put(tmp_path, "a.png")
    (tree / "b.png").symlink_to("a.png")
    assert [job.name for job in find_photos([tree])] == ["a", "b"]


SUFFIXES = (".MPO", ".jfif", ".jpe", ".JIF", ".insp", ".pjpeg", ".jps", ".HIF", ".heif", ".dng", ".CR3", ".nef", ".jxr")


@pytest.mark.parametrize("command", ["run", "features", "compare"])
def test_no_command_writes_over_a_photo(tmp_path, examples, capsys, command):
    photo = tmp_path / "in" / "a.png"
    photo.parent.mkdir()
    photo.write_bytes(content := (examples.parent / "scenes" / "01.png").read_bytes())
    (tmp_path / "link").symlink_to("in")
    source = ["--image", str(photo)] if command == "compare" else [str(photo)]
    words = [] if command == "features" else ["--vocabulary", "blue plain"]
    outputs = [photo, tmp_path / "link" / "a.png", *([photo.parent] if command == "features" else [])]
    for output in outputs:
        assert main([command, *source, *words, "--output", str(output), "--bundle", "tiny", "--threads", "1"]) == 2
        assert "would write there: give another --output" in capsys.readouterr().err
    assert photo.read_bytes() == content


@pytest.mark.parametrize("name", ["out.WEBP", "out.json", "out.html", "out.csv", "out.mp4", "out.npz"])
def test_an_output_that_looks_like_a_file_of_another_kind_is_refused(tmp_path, capsys, name):
    photo, out = put(tmp_path, "a.png") / "a.png", tmp_path / name
    assert main(["run", str(photo), "--vocabulary", "cat", "--output", str(out), "--bundle", "tiny"]) == 2
    way = "name a folder for the results, or a .png or .jpg for one photo with its masks drawn on it"
    assert capsys.readouterr().err == f"wordmask: --output is {str(out)!r}, which looks like a file: {way}\n"
    assert not out.exists()


@pytest.mark.parametrize(
    ("photos", "output", "found"),
    [
        ("in", "in", "is the folder of the photos, and its results would lie among them"),
        ("link", "in/../in/", "is the folder of the photos, and its results would lie among them"),
        ("in/sub", "in", "holds the folder of the photos, in/sub, and its results would lie around that"),
        ("in", ".", "holds the folder of the photos, in, and its results would lie around that"),
    ],
)
def test_run_refuses_an_output_that_is_or_holds_the_folder_of_photos(
    tmp_path, monkeypatch, capsys, photos, output, found
):
    put(tmp_path, "in/a.png", "in/sub/b.png")
    (tmp_path / "link").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    assert main(["run", photos, "--vocabulary", "cat", "--output", output, "--bundle", "tiny"]) == 2
    shown = str(Path(output))
    way = f"name a folder of its own, such as {shown}/out"
    assert capsys.readouterr().err == f"wordmask: --output {shown} {found}: {way}\n"
    assert not list(tmp_path.rglob("journal.jsonl"))


def test_an_output_beside_or_inside_the_photos_or_of_a_photo_that_is_named_is_not_refused(tmp_path):
    put(tmp_path, "in/a.png", "in-2/b.png")
    places = [tmp_path / "in", Url("s3://bucket/in")]
    for output in (tmp_path / "in" / "out", tmp_path / "out", tmp_path / "in-", Url("s3://bucket/i")):
        refuse_folders_of_photos(output, places)
    refuse_folders_of_photos(tmp_path / "in", [tmp_path / "in" / "a.png"])
    with pytest.raises(ValueError, match="holds the folder"):
        refuse_folders_of_photos(Url("s3://bucket"), places)


@pytest.mark.parametrize("suffix", [*SUFFIXES, *(suffix.swapcase() for suffix in SUFFIXES)])
def test_names_that_cameras_and_browsers_write_are_never_invisible(tmp_path, suffix):
    assert names(put(tmp_path, f"a{suffix}", "notes.txt", "b.txt.part")) == [f"a{suffix}"]


def test_jpegs_are_read_whatever_their_suffix(tmp_path, examples):
    content = (examples / "coffee.jpg").read_bytes()
    for suffix in (".mpo", ".insp", ".jfif", ".dng"):
        (tmp_path / f"a{suffix}").write_bytes(content + content)  # of several pictures the first is taken
    shapes = {load(job.file).pixels.shape for job in find_photos([tmp_path])}
    assert shapes == {load(examples / "coffee.jpg").pixels.shape}


def test_an_object_store_is_searched_by_the_same_rules(memory, caplog):
    taken = ["a.MPO", "sub/b.hif"]
    left_out = [
        ".hidden/a.png",
        "sub/@eaDir/b.png",
        "sub/@eaDir/c.png",
        "sub/.c.png",
        "run1/overlay/a.jpg",
        "run1/semantic/a.png",
    ]
    for name in [*taken, *left_out, "run1/run.json", "run1/journal.jsonl", "notes.txt"]:
        memory.pipe_file(f"/photos/{name}", b"x")
    photos = Url("memory://photos")
    jobs = find_photos([photos, Url("memory:///photos/a.MPO")], recursive=True)
    assert [str(job.path) for job in jobs] == [f"memory:///photos/{name}" for name in taken]
    assert "left out, hidden or of the system: 3" in caplog.text
    assert "left out, folders with results of wordmask: 1 ('/photos/run1')" in caplog.text
    assert "taken once, named more than once: 1 ('memory:///photos/a.MPO')" in caplog.text
    overlay = Url("memory://photos/run1/overlay")
    assert [job.name for job in find_photos([overlay])] == ["a"]
    with pytest.raises(ValueError, match="would write there"):
        find_photos([overlay], apart_from=Url("memory:///photos/run1"))
    inside = find_photos([Url("memory://photos/sub")], apart_from=photos)
    assert [str(job.path) for job in inside] == ["memory:///photos/sub/b.hif"]


def test_a_tree_as_it_was_reported_is_taken_as_it_should_be(tmp_path, caplog):
    """Linked folders, hidden ones, and an earlier run's pictures."""
    tree = write_photos(tmp_path / "tree", 1)
    for folder in (tree / ".ipynb_checkpoints", tree / "sub", tmp_path / "ext"):
        write_photos(folder, 1)
    (tree / "linked").symlink_to("../ext")
    put(tree, "run1/overlay/000.jpg", "run1/journal.jsonl", "run1/run.json")
    assert names(tree, recursive=True, apart_from=tree / "run2") == ["000.png", "linked/000.png", "sub/000.png"]
    assert [said in caplog.text for said in (".ipynb_checkpoints", "run1")] == [True, True]


def test_every_folder_of_results_is_known_as_one():
    assert {kind.split("/")[0] for kind in FILES} == RESULT_FOLDERS
