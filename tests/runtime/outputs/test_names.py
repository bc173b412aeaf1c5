"""Names of outputs: the photos' own, kept apart and below the output folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wordmask.outputs.layout import output_paths
from wordmask.outputs.names import output_names


def names(*photos):
    return output_names([Path(photo) for photo in photos])


@pytest.mark.parametrize(
    "photo",
    [
        "-rf.jpg",
        "a b\n.jpg",
        "été 🎈.jpg",
        "x.tar.jpg",
        "%2e%2e.jpg",
        os.fsdecode(b"caf\xe9.jpg"),
        "..a.jpg",
    ],
    ids=["dash", "newline", "unicode", "dots", "percent", "latin-1", "leading-dots"],
)
def test_a_name_is_kept_as_it_is(photo):
    assert names(photo) == [photo.removesuffix(".jpg")]


@pytest.mark.parametrize(
    ("photo", "name"),
    [
        ("c:d.jpg", "c_d"),
        ('a?*"<>|\\.jpg', "a_______"),
        ("a..jpg", "a_"),
        ("a ..jpg", "a__"),
        ("a. b.jpg", "a. b"),
        ("dir./sub /x:.jpg", "dir_/sub_/x_"),
        ("conOUT$.jpg", "_conOUT$"),
        ("com\u00b2.a.jpg", "_com\u00b2.a"),
        ("con .x.jpg", "_con .x"),
    ],
)
def test_what_windows_refuses_in_names_is_changed_everywhere(photo, name):
    assert names(photo) == [name]


def test_names_that_are_equal_once_they_are_changed_are_kept_apart():
    assert names("a:b.jpg", "a_b.jpg", "a?b.png") == ["a_b.jpg", "a_b.jpg-2", "a_b.png"]
    assert len(set(names("a:/x.jpg", "a_/x.jpg", "a?/x.jpg"))) == 3


def test_photos_that_share_a_name_keep_their_suffix_then_get_a_number():
    assert names("a.jpg", "a.png", "b.jpg") == ["a.jpg", "a.png", "b"]
    assert names("A.jpg", "a.jpg") == ["A.jpg", "a.jpg-2"]  # also on a file system without case
    assert names("a.jpg", "a.jpg", "a.jpg-2.png") == ["a.jpg", "a.jpg-2", "a.jpg-2.png"]


def test_names_that_differ_in_normalisation_alone_are_kept_apart():
    composed, decomposed = names("caf\u00e9.jpg", "cafe\u0301.jpg")
    assert decomposed.endswith("-2")
    assert composed != decomposed


@pytest.mark.parametrize("photo", ["CON.jpg", "nul.png", "com1.x.jpg", "LPT9/a.jpg"])
def test_names_of_windows_devices_are_not_used(photo):
    assert names(photo)[0].startswith("_")


def test_a_folder_named_like_an_output_is_not_in_its_way():
    first, second = names("a.jpg", "a.png/b.jpg")
    ours, theirs = [set(map(Path, output_paths(name).values())) for name in (first, second)]
    assert not ours & {parent for place in theirs for parent in place.parents}
    assert second == str(Path("a.png_", "b"))


def test_longest_names_are_cut_and_still_differ(tmp_path):
    long = [f"{'é' * 120}{i}.jpeg" for i in range(10)] + ["x" * 251 + ".jpg", "x" * 251 + ".png"]
    found = names(*long)
    assert len(set(found)) == len(long)
    for name in found:
        for place in output_paths(name).values():
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / place).write_bytes(b"x")  # the file system takes it
    assert found[0] == "é" * 120 + "0"  # 241 bytes fit
    assert found[-1].startswith("x" * 200)


@pytest.mark.parametrize("photo", [".jpg", "..jpg", "...jpg", "....jpg", " .jpg", "a/..jpg", "\\..\\x.jpg", "~.jpg"])
def test_every_name_stays_below_the_output_folder(tmp_path, photo):
    for kind, place in output_paths(names(photo)[0]).items():
        assert (tmp_path / kind).resolve() in (tmp_path / place).resolve().parents
