"""Where weights come from: local files, the hub, a seed; and what is said when they cannot be had."""

from __future__ import annotations

import dataclasses
import json
import pickle
import socket
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from wordmask_export.models import pipeline, weights  # noqa: E402
from wordmask_export.models.weights import Wanted, WeightsError  # noqa: E402


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty hub cache, and every look-up of a host fails."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    def refuse(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_all_missing_files_are_named_at_once(no_network):
    with pytest.raises(WeightsError) as caught:
        pipeline.load(pipeline.Choice(sam2="sam2.1_hiera_tiny"))
    text = str(caught.value)
    for part in (
        "open_clip_model.safetensors from https://huggingface.co/timm/vit_base_patch16_clip_224.openai",
        "pytorch_model.bin from https://huggingface.co/haiwen/loftup-clip",
        "sam2.1_hiera_tiny.pt from https://huggingface.co/facebook/sam2.1-hiera-tiny",
        "--clip-weights PATH/open_clip_model.safetensors",
        "--loftup-weights PATH/pytorch_model.bin",
        "--sam2-weights PATH/sam2.1_hiera_tiny.pt",
    ):
        assert part in text


def test_a_cached_file_needs_no_network(no_network, tmp_path):
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--some--repo" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "w.bin").write_bytes(b"x")
    (tmp_path / "hub" / "models--some--repo" / "refs").mkdir()
    (tmp_path / "hub" / "models--some--repo" / "refs" / "main").write_text(commit)
    (found,) = weights.find([Wanted("m", "some/repo", "w.bin", "--w")])
    assert found.revision == commit
    assert found.source == "huggingface.co/some/repo/w.bin"


def test_a_missing_local_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.bin is not a file"):
        weights.find([Wanted("m", "", "", "--w", tmp_path / "nowhere.bin")])


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_state_dicts_are_read_from_either_format(tmp_path, wrapper):
    state = {"a.weight": torch.arange(3.0)}
    save_file(state, tmp_path / "w.safetensors")
    torch.save({wrapper: state} if wrapper else state, tmp_path / "w.bin")
    for name in ("w.safetensors", "w.bin"):
        assert torch.equal(weights.read(tmp_path / name)["a.weight"], state["a.weight"])


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_executed(tmp_path, writer):
    marker, path = tmp_path / "executed", tmp_path / "evil.bin"
    content = {"model": Payload(marker)}
    if writer == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(WeightsError, match="nothing in it was executed") as caught:
        weights.read(path)
    assert not marker.exists()
    assert "weights_only" not in str(caught.value)  # torch's own advice: to load the file so that it is executed
    assert str(caught.value).isprintable()


def safetensors(*, tensor: dict[str, object], body: bytes = bytes(24)) -> bytes:
    """A file of one tensor that is described as asked for."""
    described = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24], **tensor}
    header = json.dumps({"a": described}).encode()
    return len(header).to_bytes(8, "little") + header + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a file of tensors",
        (10**12).to_bytes(8, "little"),
        (2**63).to_bytes(8, "little") + b"{}",
        (40).to_bytes(8, "little") + b"{" * 40,
        safetensors(tensor={}, body=bytes(20)),
        safetensors(tensor={}, body=bytes(28)),
        safetensors(tensor={"data_offsets": [0, 2400]}),
        safetensors(tensor={"shape": [2**62, 2**62]}),
        safetensors(tensor={"shape": [-2, 3]}),
        safetensors(tensor={"dtype": "F33"}),
    ],
    ids=[
        *("empty", "text", "huge-header", "largest-header", "not-json", "cut", "surplus", "beyond", "overflow"),
        *("negative", "type"),
    ],
)
def test_malformed_safetensors_are_refused_by_name(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match=r"w\.safetensors: cannot be read as safetensors"):
        weights.read(tmp_path / "w.safetensors")


# A pickle that torch did not write: torch names its protocol, and then reads it or raises.
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning:torch")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "EOFError"),
        (b"<html>not found</html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"s", "pop from empty list"),
        (pickle.dumps([1, 2], protocol=4), "Unsupported operand"),
    ],
    ids=["empty", "html", "lfs", "cut-pickle", "list"],
)
def test_damaged_checkpoints_are_refused_by_name(tmp_path, content, message):
    (tmp_path / "w.bin").write_bytes(content)
    with pytest.raises(WeightsError, match=rf"w\.bin.*({message})"):
        weights.read(tmp_path / "w.bin")


# torch tells that checking a sparse tensor, which is refused here, takes time.
@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants:UserWarning:torch")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1.5}, "'a' is a float, expected dense tensors by name"),
        ({3: torch.ones(2)}, "3 is a"),
        ({"a": torch.eye(2).to_sparse()}, "'a' is a torch.sparse_coo tensor"),
        ([torch.ones(2)], "holds no state dict"),
        ({}, "holds no state dict"),
    ],
    ids=["number", "unnamed", "sparse", "list", "empty"],
)
def test_what_is_no_mapping_of_names_to_tensors_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=message):
        weights.read(tmp_path / "w.pt")


def test_without_a_network_each_file_is_asked_for_once(no_network, monkeypatch):
    asked = []

    def refuse(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsError):
        weights.find([Wanted(name, f"some/{name}", "w.bin", "--w") for name in ("a", "b")])
    assert len(asked) <= 2


def test_where_a_repository_has_no_safetensors_the_pickle_is_taken(hub):
    hub.add("apple/some", {"older.bin": b"pickle"})
    hub.add("timm/some", {"new.safetensors": b"new", "older.bin": b"pickle"})
    wanted = [Wanted("m", name, "new.safetensors", "--w", older="older.bin") for name in ("apple/some", "timm/some")]
    pickled, new = weights.find(wanted)
    assert (pickled.path.read_bytes(), pickled.source) == (b"pickle", "huggingface.co/apple/some/older.bin")
    assert (new.path.read_bytes(), new.source) == (b"new", "huggingface.co/timm/some/new.safetensors")


def test_where_a_repository_has_neither_the_safetensors_are_named(hub):
    hub.add("apple/some", {"README.md": b""})
    with pytest.raises(WeightsError, match=r"new\.safetensors from .*apple/some: .*has no such file \(404\)"):
        weights.find([Wanted("m", "apple/some", "new.safetensors", "--w", older="older.bin")])


def test_where_the_hub_is_switched_off_nothing_is_asked(no_network, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: pytest.fail("the network was asked"))
    with pytest.raises(WeightsError, match=r"w\.bin from .*some/a: HF_HUB_OFFLINE is set"):
        weights.find([Wanted("a", "some/a", "w.bin", "--w")])


def test_of_three_files_only_the_one_that_cannot_be_had_is_named_with_the_way_out(hub):
    hub.add("a/clip", {"w.bin": b"clip"})
    hub.add("b/loftup", {"w.bin": b"loftup"}, token="hf_x", gated=True)
    hub.add("c/sam2", {"w.bin": b"sam2"})
    wanted = [
        Wanted(name, f"{owner}/{name}", "w.bin", f"--{name}-weights")
        for owner, name in (("a", "clip"), ("b", "loftup"), ("c", "sam2"))
    ]
    with pytest.raises(WeightsError) as caught:
        weights.find(wanted)
    assert str(caught.value).splitlines()[1:3] == [
        f"  loftup: w.bin from {hub.endpoint}/b/loftup: its licence must be accepted (401): do so at "
        f"{hub.endpoint}/b/loftup with an account, and set HF_TOKEN to its token",
        "    or download it elsewhere and pass it as --loftup-weights PATH/w.bin",
    ]
    (found,) = weights.find(wanted[:1])
    assert (found.revision, found.path.read_bytes()) == (hub.repositories["a/clip"][0].commit, b"clip")
    assert len(hub.requests("GET", "a/clip")) == 1


def test_weights_of_another_architecture_are_refused(small_choice, small_models, tmp_path):
    for name, state in (("clip", small_models.clip.state_dict()), ("sam2", small_models.sam2.state_dict())):
        torch.save(state, tmp_path / f"{name}.pt")
    torch.save(small_models.loftup.state_dict(), tmp_path / "loftup.pt")
    local = pipeline.Choice(
        clip=small_choice.clip,
        sam2=small_choice.sam2,
        clip_weights=str(tmp_path / "clip.pt"),
        loftup_weights=str(tmp_path / "loftup.pt"),
        sam2_weights=str(tmp_path / "clip.pt"),
    )
    with pytest.raises(WeightsError, match=r"clip\.pt does not fit SAM2Base"):
        pipeline.load(local)


def test_local_files_give_the_same_models(small_choice, small_models, tmp_path):
    parts = {"clip": small_models.clip, "loftup": small_models.loftup, "sam2": small_models.sam2}
    for name, model in parts.items():
        torch.save({"model": model.state_dict()}, tmp_path / f"{name}.pt")
    loaded = pipeline.load(
        pipeline.Choice(
            clip=small_choice.clip,
            sam2=small_choice.sam2,
            clip_weights=str(tmp_path / "clip.pt"),
            loftup_weights=str(tmp_path / "loftup.pt"),
            sam2_weights=str(tmp_path / "sam2.pt"),
        )
    )
    for name, model in parts.items():
        found = getattr(loaded, name).state_dict()
        assert all(torch.equal(value, found[key]) for key, value in model.state_dict().items())
        assert len(loaded.entries[name].weights_sha256) == 64
        assert loaded.entries[name].source == f"{name}.pt"


def test_random_weights_and_a_file_contradict_each_other(small_choice):
    with pytest.raises(WeightsError, match="leave out"):
        pipeline.load(dataclasses.replace(small_choice, clip_weights="clip.pt"))


@pytest.mark.parametrize("text", ["random", "random:", "random:-1", "seeded:1", "random:1.5"])
def test_a_malformed_seed_is_refused(text):
    with pytest.raises(WeightsError, match="random:SEED"):
        weights.random_seed(text)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (pipeline.Choice(clip="ViT-Z-99", weights="random:0"), "ViT-Z-99"),
        (pipeline.Choice(clip="RN50", weights="random:0"), "OpenAI-style"),
        (pipeline.Choice(sam2="sam3", weights="random:0"), "sam2.1_hiera_large"),
        (pipeline.Choice(loftup="loftup_resnet"), "loftup_siglip2"),
    ],
    ids=["clip", "resnet", "sam2", "loftup"],
)
def test_unknown_models_are_refused_with_the_known_ones(no_network, choice, message):
    with pytest.raises(WeightsError, match=message):
        pipeline.load(choice)


def test_every_published_sam2_is_known():
    for family in ("sam2", "sam2.1"):
        for size in ("tiny", "small", "base_plus", "large"):
            config, wanted = pipeline._sam2_config(pipeline.Choice(sam2=f"{family}_hiera_{size}"))
            assert config.model.image_size == 1024
            assert wanted.file == f"{family}_hiera_{size}.pt"
