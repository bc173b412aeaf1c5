"""Folders that appear whole under their final names, or not at all."""

from __future__ import annotations

import pytest

from wordmask.system.files import atomic_folder, remove_folder


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("durable", [False, True])
def test_a_folder_has_its_name_only_when_all_is_written(tmp_path, durable):
    with atomic_folder(tmp_path / "made", durable=durable, mode=0o750) as work:
        (work / "deep").mkdir()
        (work / "deep" / "file").write_bytes(b"content")
        assert not (tmp_path / "made").exists()
    assert names(tmp_path) == ["made", "made/deep", "made/deep/file"]
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o750


def test_an_error_leaves_what_was_there(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "earlier").touch()
    with pytest.raises(ZeroDivisionError), atomic_folder(tmp_path / "made", replace=True):
        raise ZeroDivisionError
    assert names(tmp_path) == ["made", "made/earlier"]


def test_what_stands_there_is_replaced_only_where_that_is_asked_for(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "earlier").touch()
    with pytest.raises(OSError, match="not empty"), atomic_folder(tmp_path / "made"):
        pass
    assert names(tmp_path) == ["made", "made/earlier"]
    with atomic_folder(tmp_path / "made", replace=True) as work:
        (work / "later").touch()
    assert names(tmp_path) == ["made", "made/later"]


def test_a_symlink_is_removed_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to("other")
    remove_folder(tmp_path / "link")
    assert names(tmp_path) == ["other"]
