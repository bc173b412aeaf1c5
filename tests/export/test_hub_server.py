"""The hub of the tests answers huggingface_hub as the real one does."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")
from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)


def test_a_repository_arrives_whole_by_its_branch_tag_or_commit(hub, tmp_path):
    old = hub.add("owner/name", {"manifest.json": b"{}", "graphs/a.onnx": b"old"}, names=("v1",))
    new = hub.add("owner/name", {"manifest.json": b"{ }", "graphs/a.onnx": b"new"})
    for revision, commit, content in (("main", new, b"new"), ("v1", old, b"old"), (old, old, b"old")):
        folder = Path(snapshot_download("owner/name", revision=revision))
        assert (folder.name, (folder / "graphs" / "a.onnx").read_bytes()) == (commit, content)
    assert {file.rfilename for file in HfApi().model_info("owner/name").siblings} == {"manifest.json", "graphs/a.onnx"}


def test_a_file_of_this_disk_comes_from_the_storage_host_under_its_sha256(hub, tmp_path):
    (tmp_path / "w").write_bytes(bytes(range(256)) * 20_000)
    hub.add("owner/name", {"w.bin": tmp_path / "w"})
    found = Path(hf_hub_download("owner/name", "w.bin"))
    assert found.read_bytes() == (tmp_path / "w").read_bytes()
    assert found.resolve().name == hub.repositories["owner/name"][0].files["w.bin"].sha256
    assert [asked.host for asked in hub.asked] == ["hub", "storage"]


def test_a_broken_connection_is_gone_on_with_from_the_byte_that_it_broke_at(hub, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    hub.add("owner/name", {"w.bin": bytes(range(250)) * 40})
    hub.fail(host="storage", cut=6000, times=1)
    assert Path(hf_hub_download("owner/name", "w.bin")).read_bytes() == bytes(range(250)) * 40
    assert [asked.headers.get("range") for asked in hub.requests("GET")] == [None, "bytes=6000-"]


def test_what_may_not_be_had_or_is_not_there_is_refused_in_the_hubs_own_words(hub, monkeypatch):
    hub.add("owner/open", {"w.bin": b"w"})
    hub.add("owner/private", {"w.bin": b"w"}, token="hf_right")
    hub.add("owner/gated", {"w.bin": b"w"}, token="hf_right", gated=True)
    hub.tokens.add("hf_other")
    cases = [
        (None, ("owner/missing", "w.bin"), RepositoryNotFoundError, 401),
        (None, ("owner/private", "w.bin"), RepositoryNotFoundError, 401),
        (None, ("owner/gated", "w.bin"), GatedRepoError, 401),
        ("hf_wrong", ("owner/open", "w.bin"), HfHubHTTPError, 401),
        ("hf_other", ("owner/missing", "w.bin"), RepositoryNotFoundError, 404),
        ("hf_other", ("owner/private", "w.bin"), RepositoryNotFoundError, 404),
        ("hf_other", ("owner/gated", "w.bin"), GatedRepoError, 403),
        (None, ("owner/open", "x.bin"), RemoteEntryNotFoundError, 404),
    ]
    for token, place, kind, status in cases:
        monkeypatch.setenv("HF_TOKEN", token or "")
        with pytest.raises(kind) as caught:
            hf_hub_download(*place)
        assert caught.value.response.status_code == status
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("owner/open", "w.bin", revision="v9")


def test_a_token_opens_the_repository_and_is_not_told_to_the_storage_host(hub, monkeypatch):
    hub.add("owner/private", {"w.bin": b"w"}, token="hf_right")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert Path(hf_hub_download("owner/private", "w.bin")).read_bytes() == b"w"
    assert [asked.headers.get("authorization") for asked in hub.asked] == ["Bearer hf_right", None]
