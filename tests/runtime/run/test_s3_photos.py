"""Photos and outputs in S3: what the server refuses, and what it lists in other words than it tells of one object."""

from __future__ import annotations

import pytest

pytest.importorskip("s3fs", reason="the extra ray is not installed")
pytest.importorskip("moto.server", reason="no S3 to test with")

from moto import settings

from stub_segmenter import write_photos
from wordmask.errors import OutputError, PhotoError
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.photo.url import Url
from wordmask.run.find_photos import find_photos, load_unchanged

pytestmark = pytest.mark.servers


@pytest.fixture
def photos(s3, tmp_path):
    """Two photos; gives the second one's content."""
    write_photos(tmp_path, 2)
    for name in ("000.png", "001.png"):
        s3.put_file(str(tmp_path / name), f"bucket/photos/{name}")
    return (tmp_path / "001.png").read_bytes()


def refuse(monkeypatch):
    """From now on the server takes no key but those of its users, and it has none."""
    monkeypatch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)


@pytest.mark.parametrize("recursive", [False, True], ids=["a folder", "recursive"])
def test_a_photo_is_known_again_where_a_list_gives_milliseconds_and_the_object_whole_seconds(s3, photos, recursive):
    listed = s3.ls("bucket/photos", detail=True)[0]["LastModified"]
    assert listed.microsecond != s3.info("bucket/photos/000.png")["LastModified"].microsecond == 0
    jobs = find_photos([Url("s3://bucket/photos")], recursive=recursive)
    assert [load_unchanged(job).pixels.shape for job in jobs] == [(50, 40, 3)] * 2


@pytest.mark.parametrize("recursive", [False, True], ids=["a folder", "recursive"])
def test_a_single_object_is_a_photo_too(s3, photos, recursive):
    (job,) = find_photos([Url("s3://bucket/photos/001.png")], recursive=recursive)
    assert (str(job.path), job.name) == ("s3://bucket/photos/001.png", "001")
    assert load_unchanged(job).pixels.shape == (50, 40, 3)


def test_other_content_of_one_size_within_a_second_is_a_change(s3, photos):
    s3.pipe_file("bucket/photos/000.png", photos)
    first, second = find_photos([Url("s3://bucket/photos")])
    s3.pipe_file("bucket/photos/000.png", photos[:-1] + b"x")
    with pytest.raises(PhotoError, match="it changed since the run began") as refusal:
        load_unchanged(first)
    assert refusal.value.code == "IO"
    s3.pipe_file("bucket/photos/001.png", photos)  # the same again
    assert load_unchanged(second).pixels.shape == (50, 40, 3)


@pytest.mark.parametrize("recursive", [False, True], ids=["a folder", "recursive"])
def test_a_server_that_refuses_is_told_from_an_empty_folder(s3, photos, monkeypatch, recursive):
    refuse(monkeypatch)
    with pytest.raises(ValueError, match=r"s3://bucket/photos cannot be listed: access is denied \(InvalidAccessKeyId"):
        find_photos([Url("s3://bucket/photos")], recursive=recursive)


@pytest.mark.parametrize("recursive", [False, True], ids=["a folder", "recursive"])
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://nobody-has-this/photos", "cannot be listed: there is no such bucket"),
        ("s3://nobody-has-this", "cannot be listed: there is no such bucket"),
        ("s3://bucket/nothing", "does not exist, or holds no files"),
    ],
    ids=["bucket and folder", "bucket", "folder"],
)
def test_what_is_missing_is_named(s3, photos, url, told, recursive):
    with pytest.raises(FileNotFoundError, match=f"{url} {told}"):
        find_photos([Url(url)], recursive=recursive)


def test_a_photo_that_is_refused_says_so(s3, photos, monkeypatch):
    job = find_photos([Url("s3://bucket/photos")])[0]
    refuse(monkeypatch)
    with pytest.raises(PhotoError, match=r"it cannot be read: access is denied \(403: Forbidden\)"):
        load_unchanged(job)


def test_outputs_that_are_refused_say_so(s3, monkeypatch):
    refuse(monkeypatch)
    out = RemoteFolder(Url("s3://bucket/out"))
    refusal = r"s3://bucket/out.* access is denied \(InvalidAccessKeyId"
    with pytest.raises(OutputError, match=f"cannot list {refusal}"):
        out.inventory([""])
    with pytest.raises(OutputError, match=f"cannot list {refusal}"):
        out.inventory(["semantic"])
    with pytest.raises(OutputError, match=f"cannot write {refusal}"):
        out.write({"run.json": [b"{}"]})


def test_outputs_into_a_missing_bucket_are_refused_before_the_first_photo(s3):
    with pytest.raises(OutputError, match="cannot list s3://nobody-has-this/out: there is no such bucket"):
        RemoteFolder(Url("s3://nobody-has-this/out")).inventory([""])
