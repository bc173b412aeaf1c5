"""Files from the hub, on the straight way and on all that goes wrong: success, or one line with the way out."""

from __future__ import annotations

import errno
import resource
import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

pytest.importorskip("huggingface_hub")
from huggingface_hub import constants

from hub_server import HubFile
from wordmask.bundle import downloads
from wordmask.bundle.downloads import Place, download
from wordmask.errors import HubError

CONTENT = bytes(range(250)) * 40
PLACE = Place("owner/name", "w.bin")
SMALL = Place("owner/name", "config.json")


@pytest.fixture
def filled(hub, waits, monkeypatch):
    """A hub with one file, which is written in pieces of 1,000 bytes."""
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.add("owner/name", {"w.bin": CONTENT, "config.json": b"{}"})
    return hub


def refused(place: Place = PLACE) -> HubError:
    with pytest.raises(HubError) as caught:
        download(place, print)
    assert "\n" not in str(caught.value)
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    return caught.value


def test_a_file_comes_once_and_is_then_there(filled):
    for file, content in (("w.bin", CONTENT), ("config.json", b"{}")):
        assert download(Place("owner/name", file), pytest.fail).read_bytes() == content
    asked = len(filled.asked)
    assert download(PLACE, pytest.fail).read_bytes() == CONTENT
    assert len(filled.asked) == asked


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_connection_that_breaks_is_tried_again(filled, waits, reset):
    filled.fail(host="storage", cut=6000, reset=reset, times=1)
    assert download(PLACE, print).read_bytes() == CONTENT
    assert len(filled.requests("GET")) == 2


def test_a_connection_that_always_breaks_is_one_line(filled):
    filled.fail(host="storage", cut=0)
    error = refused()
    assert error.code == "BROKEN"
    assert "start again" in str(error)


def test_a_file_that_is_cut_at_its_source_is_never_taken(filled):
    filled.fail(host="storage", status=200, body=CONTENT[:5000])
    error = refused()
    assert error.code == "BROKEN"
    assert "5000" in str(error)
    assert len(filled.requests("GET")) == downloads.ATTEMPTS


def test_a_flipped_bit_is_found_by_its_checksum_and_the_file_deleted(filled):
    filled.fail(host="storage", flipped=1234, times=1)
    error = refused()
    assert error.code == "CHECKSUM"
    assert "SHA-256" in str(error)
    assert download(PLACE, print).read_bytes() == CONTENT


def test_a_damaged_file_of_the_cache_is_downloaded_again(filled, capsys):
    path = download(PLACE, print)
    path.resolve().write_bytes(CONTENT[:-1])
    assert download(PLACE, print).read_bytes() == CONTENT
    assert "is damaged" in capsys.readouterr().out


def test_a_damaged_file_of_the_cache_that_cannot_be_removed_is_named(filled, monkeypatch):
    path = download(PLACE, print)
    path.resolve().write_bytes(CONTENT[:-1])

    def closed(path, **settings):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", closed)
    error = refused()
    assert error.code == "NOT_WRITABLE"
    assert f"{path} is damaged and cannot be removed (Permission denied)" in str(error)


def test_a_branch_that_moved_is_seen_where_its_latest_state_is_asked_for(filled, monkeypatch):
    download(SMALL, pytest.fail)
    filled.add("owner/name", {"config.json": b"[]"})
    assert download(SMALL, pytest.fail).read_bytes() == b"{}"
    assert download(SMALL, pytest.fail, latest=True).read_bytes() == b"[]"
    filled.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(SMALL, pytest.fail, latest=True).read_bytes() == b"[]"
    assert filled.asked == []


def test_an_earlier_state_of_a_branch_is_not_taken_for_its_latest_where_the_hub_fails(filled, waits, capsys):
    download(SMALL, pytest.fail)
    filled.add("owner/name", {"config.json": b"[]"})
    filled.fail(path="resolve/main/config.json", skipped=1, times=1, status=503)  # the client's own question
    assert download(SMALL, print, latest=True).read_bytes() == b"[]"
    assert waits == [2]
    assert "the hub failed, or main moved" in capsys.readouterr().out


def test_a_file_that_is_larger_than_allowed_is_refused_before_it_is_downloaded(filled):
    with pytest.raises(HubError, match=r"^it has 10000 bytes on the hub, expected at most 9999$") as caught:
        download(PLACE, pytest.fail, most=9999)
    assert caught.value.code == "TOO_LARGE"
    assert filled.requests("GET") == []
    assert download(PLACE, pytest.fail, most=10000).read_bytes() == CONTENT


def test_who_asks_too_often_waits_as_long_as_the_hub_asks(filled, waits, capsys):
    filled.fail(method="HEAD", status=429, headers={"Retry-After": "7"}, times=1)
    filled.fail(method="HEAD", status=429, headers={"RateLimit": '"resolvers";r=0;t=41'}, times=1)
    assert download(PLACE, print).read_bytes() == CONTENT
    assert waits == [7, 41]
    assert "too many requests (429)" in capsys.readouterr().out


def test_who_is_asked_to_wait_for_an_hour_is_told_so_at_once(filled, waits):
    filled.fail(method="HEAD", status=429, headers={"Retry-After": "3600"})
    error = refused()
    assert (error.code, waits) == ("LIMITED", [])
    assert "3600 s" in str(error)
    assert "HF_TOKEN" in str(error)


@pytest.mark.parametrize("host", ["hub", "storage"])
def test_a_hub_that_fails_for_a_while_is_asked_again(filled, waits, host):
    filled.fail(host=host, status=503, times=2)
    assert download(PLACE, print).read_bytes() == CONTENT
    assert waits == [2, 4]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_hub_that_fails_for_good_is_one_line(filled, waits, status):
    filled.fail(host="storage", status=status)
    error = refused()
    assert (error.code, len(waits)) == ("UNAVAILABLE", downloads.ATTEMPTS - 1)
    assert f"({status})" in str(error)
    assert "HF_ENDPOINT" in str(error)


def test_a_repository_that_is_private_or_not_there_says_so(hub, monkeypatch):
    hub.add("owner/name", {"w.bin": CONTENT}, token="hf_right")
    hub.tokens.add("hf_other")
    assert refused().code == "TOKEN"
    assert "a token in HF_TOKEN" in str(refused())
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert refused().code == "NOT_FOUND"
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert download(PLACE, print).read_bytes() == CONTENT


def test_a_token_that_is_out_of_date_is_named_though_none_is_needed(filled, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_old")
    error = refused()
    assert error.code == "TOKEN"
    assert "unset it" in str(error)


def test_a_licence_that_is_not_accepted_is_named_with_its_page(hub, monkeypatch):
    hub.add("owner/name", {"w.bin": CONTENT}, token="hf_right", gated=True)
    hub.tokens.add("hf_other")
    for token in ("", "hf_other"):
        monkeypatch.setenv("HF_TOKEN", token)
        error = refused()
        assert error.code == "LICENCE"
        assert f"{hub.endpoint}/owner/name" in str(error)


def test_a_refusal_that_is_nobodys_known_one_gives_its_status(filled):
    filled.fail(host="storage", status=403, body=b"<html>blocked by policy</html>")
    error = refused()
    assert error.code == "REFUSED"
    assert "403" in str(error)


@pytest.mark.parametrize(
    ("place", "what"),
    [
        (Place("owner/none", "w.bin"), "no such repository"),
        (Place("owner/name", "x.bin"), "no such file (404)"),
        (Place("owner/name", "w.bin", "v9"), "no branch, tag or commit v9 (404)"),
    ],
    ids=["repository", "file", "revision"],
)
def test_what_is_not_there_is_named(filled, place, what):
    assert what in str(refused(place))


def test_a_proxy_that_answers_with_a_page_is_recognised(filled):
    page = {"status": 200, "headers": {"Content-Type": "text/html"}, "body": b"<html>log in to the network</html>"}
    fault = filled.fail(method="HEAD", **page)
    assert refused().code == "NOT_A_HUB"
    fault.times = 0
    filled.fail(host="storage", **page)
    error = refused()
    assert error.code == "BROKEN"
    assert "proxy" in str(error)


def test_offline_a_filled_cache_is_enough_and_an_empty_one_is_named(filled, monkeypatch):
    download(PLACE, print)
    filled.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download(PLACE, print).read_bytes() == CONTENT
    error = refused(Place("owner/name", "config.json"))
    assert error.code == "OFFLINE"
    assert constants.HF_HUB_CACHE in str(error)
    assert filled.asked == []


def test_a_mirror_is_asked_in_place_of_the_hub(hub, monkeypatch, tmp_path):
    hub.add("owner/name", {"w.bin": CONTENT})
    monkeypatch.setattr(socket, "getaddrinfo", _only_this_machine(socket.getaddrinfo))
    assert download(PLACE, print).read_bytes() == CONTENT


def _only_this_machine(real):
    def look_up(host, *args, **kwargs):
        assert host == "127.0.0.1"
        return real(host, *args, **kwargs)

    return look_up


def test_a_hub_that_cannot_be_reached_is_one_line_and_asked_once(filled, monkeypatch, waits):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    error = refused()
    assert (error.code, waits) == ("UNREACHABLE", [])
    assert "http://127.0.0.1:9 cannot be reached" in str(error)
    assert "HTTPS_PROXY" in str(error)


def test_a_disk_without_room_is_said_before_anything_is_downloaded(filled, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9, len(CONTENT) - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    error = refused()
    assert error.code == "DISK_FULL"
    assert "HF_HOME" in str(error)
    assert filled.requests("GET") == []


def test_a_file_that_an_earlier_commit_had_needs_no_room(filled, monkeypatch):
    download(PLACE, pytest.fail)
    commit = filled.add("owner/name", {"w.bin": CONTENT})
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    path = download(PLACE, pytest.fail, latest=True)
    assert (path.parent.name, path.read_bytes()) == (commit, CONTENT)
    assert len(filled.requests("GET")) == 1


def test_a_disk_that_fills_meanwhile_is_one_line(filled, waits):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # Python ignores the signal, so writing fails
    try:
        error = refused()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (error.code, waits) == ("DISK_FULL", [])
    assert constants.HF_HUB_CACHE in str(error)


def test_a_cache_that_may_not_be_written_is_named(filled, monkeypatch, waits):
    def closed(path, *args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("os.makedirs", closed)
    error = refused()
    assert (error.code, waits) == ("NOT_WRITABLE", [])
    assert constants.HF_HUB_CACHE in str(error)
    assert "set HF_HOME" in str(error)


def test_a_chunked_storage_that_cannot_be_reached_is_gone_round(hub, waits, capsys, monkeypatch):
    pytest.importorskip("hf_xet")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    hub.add("owner/name", {"w.bin": HubFile(CONTENT, True, xet=True)})
    assert download(PLACE, print).read_bytes() == CONTENT
    assert "HF_HUB_DISABLE_XET" in capsys.readouterr().out
