"""Bundles on the Hugging Face hub: pulled once, checked, found again without a network; and what is said if not."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from hollow_bundle import write_hollow_bundle
from hub_server import Hub, HubFile
from wordmask.bundle.hub import HubName, parse_name, pinned, pull, pulled
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.bundle.opening import open_bundle
from wordmask.cli.main import main
from wordmask.errors import BundleError

NAME = "hf:someone/scenes"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch, waits) -> Path:
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A bundle as it was built."""
    folder = tmp_path_factory.mktemp("built") / "scenes"
    write_hollow_bundle(folder)
    return folder


def files(folder: Path, *without: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in without}


def other_build(folder: Path) -> dict[str, bytes]:
    """The files of a bundle that has another manifest."""
    write_hollow_bundle(folder / "other", stride=64)
    return files(folder / "other")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:a/b", HubName("a/b", "main")),
        ("hf:Some-one_1/b.c@v1.0", HubName("Some-one_1/b.c", "v1.0")),
        ("hf:a/b@refs/pr/3", HubName("a/b", "refs/pr/3")),
        ("hf:a/b@" + "0" * 40, HubName("a/b", "0" * 40)),
    ],
)
def test_a_name_has_an_owner_and_may_have_a_revision(text, expected):
    assert parse_name(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    "text",
    ["hf:", "hf:a", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@../../x", "hf:a/b@", "hf:a--b/c", "a/b", "hf:a/b\n"],
)
def test_a_name_of_another_form_is_refused(text):
    with pytest.raises(BundleError, match=r"expected hf:OWNER/NAME\[@REVISION\]"):
        parse_name(text)


def test_a_bundle_is_pulled_once_and_then_found_without_asking(hub: Hub, built, cache, capsys):
    commit = hub.add("someone/scenes", {**files(built), "engines/x/engine.plan": b"code"})
    bundle = open_bundle(NAME)
    assert bundle.manifest == read_manifest(built)
    assert bundle.folder == cache / "hub" / "someone--scenes" / commit
    assert {path.name for path in bundle.folder.iterdir()} == files(built).keys()  # what the manifest names
    assert not any(path.is_symlink() for path in bundle.folder.iterdir())
    asked = len(hub.asked)
    assert open_bundle(NAME).folder == bundle.folder
    assert main(["inspect", NAME]) == 0
    assert str(bundle.folder) in capsys.readouterr().out
    assert len(hub.asked) == asked


def test_a_pulled_bundle_is_opened_where_huggingface_hub_is_not_installed(hub: Hub, built, monkeypatch):
    hub.add("someone/scenes", files(built))
    assert main(["pull", NAME]) == 0
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_bundle(NAME).manifest == read_manifest(built)


def test_pull_takes_the_newest_commit_and_a_named_one_stays(hub: Hub, built, tmp_path, capsys):
    first = hub.add("someone/scenes", files(built), names=("main", "v1"))
    assert main(["pull", NAME]) == 0
    assert f"commit {first}" in capsys.readouterr().out
    second = hub.add("someone/scenes", other_build(tmp_path))
    assert pulled(parse_name(NAME)).name == first  # until it is pulled
    assert main(["pull", NAME]) == 0
    assert f"commit {second}" in capsys.readouterr().out
    assert open_bundle(NAME).manifest.clip.stride == 64
    for name in (f"{NAME}@v1", f"{NAME}@{first}"):
        assert open_bundle(name).folder.name == first


def test_other_machines_are_given_the_commit_that_was_found_here(hub: Hub, built):
    commit = hub.add("someone/scenes", files(built))
    folder = open_bundle(NAME).folder
    assert pinned(NAME, folder) == pinned(f"{NAME}@main", folder) == f"{NAME}@{commit}"
    assert (pinned("default", folder), pinned(None, folder)) == ("default", None)


def test_files_that_two_commits_share_are_downloaded_once(hub: Hub, built, tmp_path):
    hub.add("someone/scenes", files(built))
    pull(parse_name(NAME))
    before = len(hub.requests("GET", host="storage"))
    hub.add("someone/scenes", other_build(tmp_path))
    pull(parse_name(NAME))
    assert (before, len(hub.requests("GET", host="storage"))) == (9, 9)


def test_a_broken_connection_is_gone_on_with_and_files_that_arrived_are_kept(hub: Hub, built, monkeypatch, cache):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    hub.add("someone/scenes", files(built))
    hub.fail(path="clip_image.onnx", host="storage", cut=1000, times=1)
    fault = hub.fail(path="clip_text.onnx", host="storage", cut=0)
    with pytest.raises(
        BundleError, match=r"clip_text\.onnx cannot be downloaded: the download ended too early .* whole are kept"
    ):
        pull(parse_name(NAME))
    ranges = [asked.headers.get("range") for asked in hub.requests("GET", "clip_image.onnx", "storage")]
    assert ranges == [None, "bytes=1000-"]
    assert [path.name for path in (cache / "hub" / "someone--scenes").iterdir()] == [".lock"]
    fault.times = 0
    assert open_bundle(NAME).manifest == read_manifest(built)
    assert len(hub.requests("GET", "clip_image.onnx", "storage")) == 2


@pytest.mark.parametrize(
    ("settings", "token", "name", "message"),
    [
        (
            {},
            None,
            "hf:nobody/nothing",
            "there is no such repository for everyone (401): look at HUB/nobody/nothing; `hf",
        ),
        (
            {"token": "hf_right"},
            None,
            NAME,
            "there is no such repository for everyone (401): look at HUB/someone/scenes; ",
        ),
        ({"token": "hf_right"}, "hf_other", NAME, "the repository is not there, or is private (404): look at HUB/"),
        ({"token": "hf_right"}, "hf_wrong", NAME, "the hub does not take your token (401): "),
        (
            {"token": "hf_right", "gated": True},
            "hf_other",
            NAME,
            "its licence must be accepted (403): do so at HUB/someone/scenes with the account of your token",
        ),
        ({}, None, "hf:a/b.git", "no repository has such a name ("),
        ({}, None, f"{NAME}@v9", "the repository has no branch, tag or commit v9 (404)"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(
    hub: Hub, built, monkeypatch, capsys, settings, token, name, message
):
    hub.add("someone/scenes", files(built), **settings)
    hub.add("someone/else", {}, token="hf_other")
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["pull", name]) == 2
    expected = f"wordmask: {name}: manifest.json cannot be downloaded: {message.replace('HUB', hub.endpoint)}"
    assert capsys.readouterr().err.startswith(expected)


def test_a_token_opens_a_private_repository(hub: Hub, built, monkeypatch):
    hub.add("someone/scenes", files(built), token="hf_right")
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    assert open_bundle(NAME).manifest == read_manifest(built)


@pytest.mark.parametrize("status", [500, 503, 403])
def test_an_answer_that_is_an_error_is_told_with_its_number(hub: Hub, built, capsys, status):
    hub.add("someone/scenes", files(built))
    hub.fail(path="manifest.json", status=status)
    assert main(["pull", NAME]) == 2
    found = capsys.readouterr().err
    assert str(status) in found
    assert found.count("\n") == 1


def test_a_repository_without_a_bundle_is_said_so(hub: Hub, built, capsys):
    hub.add("someone/scenes", {"model.safetensors": b"weights"})
    assert main(["pull", NAME]) == 2
    assert "manifest.json cannot be downloaded: it is not at the top of the repository" in capsys.readouterr().err


def test_a_repository_that_lacks_a_file_leaves_nothing_under_its_commit(hub: Hub, built, cache):
    hub.add("someone/scenes", files(built, "loftup.onnx"))
    with pytest.raises(BundleError, match=r"loftup\.onnx cannot be downloaded: it is not at the top of the repository"):
        open_bundle(NAME)
    assert [path.name for path in (cache / "hub" / "someone--scenes").iterdir()] == [".lock"]


def test_a_file_of_another_size_is_not_downloaded(hub: Hub, built):
    hub.add("someone/scenes", {**files(built), "loftup.onnx": bytes(20000)})
    with pytest.raises(
        BundleError, match=r"loftup\.onnx cannot be downloaded: it has 20000 bytes on the hub, expected at most 2200"
    ):
        open_bundle(NAME)
    assert hub.requests("GET", "loftup.onnx") == []


def test_a_reset_of_the_storage_host_is_tried_again_and_reported(hub: Hub, built, waits, caplog):
    hub.add("someone/scenes", files(built))
    hub.fail(path="loftup.onnx", host="storage", cut=1000, reset=True, times=1)
    assert main(["pull", NAME]) == 0
    assert waits == [2]
    (message,) = (text for text in caplog.messages if text.startswith("loftup.onnx: the download ended too early ("))
    assert message.endswith(". Trying again in 2 s (2 of 4)")
    assert open_bundle(NAME).manifest == read_manifest(built)


def test_a_file_that_was_damaged_on_its_way_is_refused_by_its_sha256_and_the_next_pull_succeeds(hub: Hub, built):
    hub.add("someone/scenes", files(built))
    hub.fail(path="loftup.onnx", host="storage", flipped=100, times=1)
    with pytest.raises(BundleError, match=r"loftup\.onnx cannot be downloaded: .* \(another SHA-256\) and was deleted"):
        open_bundle(NAME)
    assert open_bundle(NAME).manifest == read_manifest(built)
    assert len(hub.requests("GET", "loftup.onnx", "storage")) == 2
    assert len(hub.requests("GET", "clip_image.onnx", "storage")) == 1


@pytest.mark.parametrize(
    ("file", "message"),
    [("loftup.onnx", r"loftup\.onnx is not the manifest's .*: pull again"), ("manifest.json", "not a bundle that can")],
)
def test_a_damaged_file_without_a_sha256_on_the_hub_comes_anew_with_the_next_pull(hub: Hub, built, file, message):
    small = {name: HubFile(content, large=False) for name, content in files(built).items()}
    hub.add("someone/scenes", small)
    hub.fail(path=file, method="GET", flipped=100, times=1)
    with pytest.raises(BundleError, match=message):
        open_bundle(NAME)
    assert open_bundle(NAME).manifest == read_manifest(built)


def test_a_file_of_another_build_is_named_and_downloaded_once(hub: Hub, built):
    other = bytes(len(files(built)["loftup.onnx"]))
    hub.add("someone/scenes", {**files(built), "loftup.onnx": other})
    for _ in range(2):
        with pytest.raises(BundleError, match=r"loftup\.onnx is not the manifest's .*the repository mixes two builds"):
            open_bundle(NAME)
    assert len(hub.requests("GET", "loftup.onnx", "storage")) == 1


def test_a_manifest_of_another_version_is_refused_without_naming_a_temporary_folder(hub: Hub, built, cache):
    hub.add("someone/scenes", {**files(built), "manifest.json": b'{"schema": 99}'})
    with pytest.raises(BundleError, match=r"^hf:someone/scenes@[0-9a-f]{40} .*manifest\.json: schema is 99") as caught:
        open_bundle(NAME)
    assert str(cache) not in str(caught.value)


def test_without_a_network_it_ends_at_once_and_says_so(hub: Hub, built, monkeypatch, capsys, waits):
    from huggingface_hub import constants

    dead = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", dead)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{dead}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    assert main(["pull", NAME]) == 2
    assert f"manifest.json cannot be downloaded: {dead} cannot be reached (" in capsys.readouterr().err
    assert waits == []


def test_offline_a_filled_cache_of_the_hub_is_taken_and_an_empty_one_said(
    hub: Hub, built, monkeypatch, capsys, tmp_path
):
    from huggingface_hub import close_session, constants, snapshot_download

    hub.add("someone/scenes", files(built))
    for filled in ("", "by others", "by a pull"):
        if filled == "by others":
            snapshot_download("someone/scenes")
        elif filled:
            shutil.rmtree(tmp_path / "hf_home")
            assert main(["pull", NAME]) == 0
        with monkeypatch.context() as patched:
            patched.setattr(constants, "HF_HUB_OFFLINE", True)
            close_session()
            before = len(hub.asked)
            assert main(["pull", NAME]) == (0 if filled else 2)
            assert len(hub.asked) == before
        close_session()
    out, error = capsys.readouterr()
    expected = f"HF_HUB_OFFLINE is set, and {tmp_path / 'hf_home' / 'hub'} does not hold it: unset it, or "
    first = error.splitlines()[0]  # the others are the hub client's bars
    assert first.startswith(f"wordmask: {NAME}: manifest.json cannot be downloaded: {expected}")
    assert out.count(f"bundle {read_manifest(built).bundle_id}, commit ") == 3


def test_without_huggingface_hub_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["pull", NAME]) == 2
    assert (
        capsys.readouterr().err
        == "wordmask: a bundle on the hub (hf:someone/scenes) needs the package 'huggingface_hub', "
        "which is not installed: pip install '.[hub]' in wordmask's checkout\n"
    )


def test_files_on_another_file_system_are_copied(hub: Hub, built, monkeypatch):
    hub.add("someone/scenes", files(built))

    def refused(*paths: object, **settings: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    assert open_bundle(NAME).manifest == read_manifest(built)


def test_a_cache_that_was_filled_elsewhere_and_is_read_only_is_read(hub: Hub, built, tmp_path, cache, monkeypatch):
    hub.add("someone/scenes", files(built))
    pull(parse_name(NAME))
    shutil.copytree(cache, tmp_path / "shared")
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "shared"))
    monkeypatch.setattr("wordmask.system.user_cache.is_writable", lambda folder: False)
    asked = len(hub.asked)
    assert open_bundle(NAME).folder.is_relative_to(tmp_path / "shared")
    assert len(hub.asked) == asked
