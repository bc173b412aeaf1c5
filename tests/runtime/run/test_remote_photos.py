"""Photos of an object store."""

from __future__ import annotations

from datetime import timedelta

import pytest

from stub_segmenter import write_photos
from wordmask.errors import PhotoError
from wordmask.photo.url import Url, parse_place
from wordmask.run.find_photos import find_photos, load_unchanged


def paths(jobs):
    return [str(job.path) for job in jobs]


def test_photos_of_a_url_come_in_the_order_and_with_the_names_of_a_local_folder(memory, tmp_path):
    names = ["b/x.png", "a.png", "a.jpg", "b.PNG", "b-c/y.png", "notes.txt", ".hidden.png", "out/semantic/a.png"]
    for name in names:
        memory.pipe_file(f"/photos/{name}", b"x")
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    local = find_photos([tmp_path], recursive=True, apart_from=tmp_path / "out")
    remote = find_photos([Url("memory://photos")], recursive=True, apart_from=Url("memory://photos/out"))
    assert [job.name for job in remote] == [job.name for job in local]
    assert paths(remote) == [str(job.path).replace(str(tmp_path), "memory:///photos") for job in local]
    assert paths(find_photos([parse_place("memory://photos/")])) == [*paths(remote)[:2], paths(remote)[-1]]
    assert [job.name for job in find_photos([Url("memory://photos/notes.txt")])] == ["notes"]


@pytest.mark.parametrize(
    ("url", "told"),
    [("memory://nothing", "memory://nothing does not exist"), ("nosuch://x", "nosuch://x cannot be used: ")],
    ids=["absent", "unknown"],
)
def test_a_url_without_photos_is_refused_by_name(memory, url, told):
    with pytest.raises((FileNotFoundError, ValueError), match=told):
        find_photos([Url(url)])


def test_a_remote_photo_is_read_only_while_it_is_the_one_that_was_listed(memory, tmp_path):
    content = (write_photos(tmp_path, 1) / "000.png").read_bytes()
    memory.pipe_file("/photos/a.png", content)
    memory.pipe_file("/photos/bad.png", b"nonsense")
    moment = memory.store["/photos/a.png"].created
    good, bad = find_photos([Url("memory://photos")])
    assert load_unchanged(good).pixels.shape == (50, 40, 3)
    with pytest.raises(PhotoError, match=r"'memory:///photos/bad\.png'.*which no known image does") as refusal:
        load_unchanged(bad)
    assert refusal.value.code == "FORMAT"
    memory.pipe_file("/photos/a.png", content)
    memory.store["/photos/a.png"].modified = memory.store["/photos/a.png"].created = moment + timedelta(seconds=1)
    with pytest.raises(PhotoError, match="it changed since the run began") as refusal:
        load_unchanged(good)
    assert refusal.value.code == "IO"
    memory.rm("/photos/a.png")
    with pytest.raises(PhotoError, match="it is not there any more"):
        load_unchanged(good)
