"""Checkpoints that other scripts left on the machine: which file is taken for which model, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from wordmask.cli.main import main  # noqa: E402
from wordmask_export.models import found_weights  # noqa: E402
from wordmask_export.models.backbones import BackboneChoice  # noqa: E402
from wordmask_export.models.found_weights import choose_found, choose_found_backbone, search  # noqa: E402
from wordmask_export.models.pipeline import Choice  # noqa: E402
from wordmask_export.models.weights import WeightsError  # noqa: E402


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with nothing in its caches."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / ".cache" / "torch"))
    monkeypatch.setattr(found_weights.constants, "HF_HUB_CACHE", str(tmp_path / ".cache" / "huggingface" / "hub"))
    return tmp_path


def leave(path: Path, content: bytes = b"weights") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def snapshot(home: Path, repository: str, file: str, commit: str = "0" * 40) -> Path:
    name = "models--" + repository.replace("/", "--")
    return leave(home / ".cache" / "huggingface" / "hub" / name / "snapshots" / commit / file)


def taken_for(home: Path, folders: tuple[Path, ...] = ()) -> dict[str, str]:
    return {str(each.path.relative_to(home)): each.known.model for each in search(folders)}


def test_files_are_known_by_the_names_that_their_scripts_give_them(home):
    hub = home / ".cache" / "torch" / "hub"
    leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    leave(home / ".cache" / "clip" / "ViT-L-14-336px.pt")
    leave(home / ".cache" / "clip" / "RN50.pt")  # no vision transformer
    leave(hub / "checkpoints" / "sam2.1_hiera_large.pt")
    leave(hub / "checkpoints" / "dinov2_vits14_reg4_pretrain.pth")
    leave(hub / "checkpoints" / "resnet50-0676ba61.pth")
    leave(hub / "andrehuang_loftup_main" / "loftup_clip.ckpt")
    leave(hub / "andrehuang_loftup_main" / "README.md")
    assert taken_for(home) == {
        ".cache/clip/ViT-B-16.pt": "ViT-B-16-quickgelu",
        ".cache/clip/ViT-L-14-336px.pt": "ViT-L-14-336-quickgelu",
        ".cache/torch/hub/checkpoints/sam2.1_hiera_large.pt": "sam2.1_hiera_large",
        ".cache/torch/hub/checkpoints/dinov2_vits14_reg4_pretrain.pth": "dinov2s_reg",
        ".cache/torch/hub/andrehuang_loftup_main/loftup_clip.ckpt": "loftup_clip",
    }


def test_files_of_the_hub_are_known_by_their_repository(home):
    snapshot(home, "haiwen/loftup-clip", "pytorch_model.bin")
    snapshot(home, "haiwen/loftup-dinov2s_reg", "pytorch_model.bin")
    snapshot(home, "timm/vit_base_patch16_clip_224.openai", "open_clip_model.safetensors")
    snapshot(home, "timm/vit_base_patch16_clip_224.openai", "model.safetensors")  # the image tower, as timm has it
    snapshot(home, "facebook/sam2-hiera-base-plus", "sam2_hiera_base_plus.pt")
    snapshot(home, "facebook/sam2-hiera-base-plus", "model.safetensors")  # with the names of transformers
    snapshot(home, "someone/else", "pytorch_model.bin")
    assert sorted(taken_for(home).values()) == [
        *("ViT-B-16-quickgelu", "loftup_clip", "loftup_dinov2s_reg", "sam2_hiera_base_plus"),
    ]


def test_a_given_folder_is_searched_first_and_below(home):
    mine = home / "thesis" / "weights"
    leave(home / ".cache" / "torch" / "hub" / "checkpoints" / "sam2.1_hiera_tiny.pt")
    leave(mine / "checkpoints" / "sam2.1_hiera_tiny.safetensors")
    leave(mine / "loftup-clip" / "pytorch_model.bin")
    found = list(taken_for(home, (mine,)).items())
    assert found[:2] == [
        ("thesis/weights/checkpoints/sam2.1_hiera_tiny.safetensors", "sam2.1_hiera_tiny"),
        ("thesis/weights/loftup-clip/pytorch_model.bin", "loftup_clip"),
    ]
    assert len(found) == 3


def test_empty_files_and_broken_links_are_passed_over(home):
    leave(home / ".cache" / "clip" / "ViT-B-16.pt", b"")
    (home / ".cache" / "clip" / "ViT-B-32.pt").symlink_to(home / "gone")
    assert taken_for(home) == {}


def test_a_file_behind_two_names_is_listed_once(home):
    real = leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    (home / "weights").mkdir()
    (home / "weights" / "ViT-B-16.pt").symlink_to(real)
    assert list(taken_for(home, (home / "weights",))) == ["weights/ViT-B-16.pt"]


def test_a_bundle_is_made_of_what_is_there_and_each_file_is_named(home):
    clip = leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    loftup = snapshot(home, "haiwen/loftup-clip", "pytorch_model.bin")
    leave(home / ".cache" / "torch" / "hub" / "checkpoints" / "sam2_hiera_tiny.pt")
    sam2 = leave(home / ".cache" / "torch" / "hub" / "checkpoints" / "sam2_hiera_small.pt")
    said: list[str] = []
    choice = choose_found(Choice(clip="ViT-B-16"), (), said.append, any_sam2=True)
    assert (choice.clip, choice.clip_weights) == ("ViT-B-16-quickgelu", str(clip))
    assert choice.loftup_weights == str(loftup)
    assert (choice.sam2, choice.sam2_weights) == ("sam2_hiera_small", str(sam2))  # the larger one
    lines = said[0].splitlines()
    used, unused = ([line for line in lines if line.startswith(f"  {word} ")] for word in ("used", "not used"))
    assert [path in line for path, line in zip((str(sam2), str(clip), str(loftup)), used, strict=True)] == [True] * 3
    assert len(unused) == 1
    assert "sam2_hiera_tiny.pt" in unused[0]


def test_what_is_missing_is_named_with_the_way_to_get_it(home):
    leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    leave(home / ".cache" / "torch" / "hub" / "checkpoints" / "sam2_hiera_tiny.pt")
    with pytest.raises(WeightsError) as caught:
        choose_found(Choice(), (), lambda text: None, any_sam2=False)
    text = str(caught.value)
    assert "loftup_clip: pytorch_model.bin from https://huggingface.co/haiwen/loftup-clip" in text
    assert "--loftup-weights PATH" in text
    assert "sam2.1_hiera_large.pt from https://huggingface.co/facebook/sam2.1-hiera-large" in text
    assert "ViT-B-16" not in text


def test_a_file_that_is_given_is_not_searched_for(home):
    leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    given = Choice(loftup_weights="my/loftup.bin", sam2_weights="my/sam2.pt")
    choice = choose_found(given, (), lambda text: None, any_sam2=True)
    assert (choice.loftup_weights, choice.sam2, choice.sam2_weights) == ("my/loftup.bin", given.sam2, "my/sam2.pt")


def test_a_backbone_and_its_loftup_are_found(home):
    backbone = leave(home / ".cache" / "torch" / "hub" / "checkpoints" / "dinov2_vitb14_pretrain.pth")
    loftup = snapshot(home, "haiwen/loftup-dinov2b", "pytorch_model.bin")
    choice = choose_found_backbone(BackboneChoice("dinov2b"), (), lambda text: None)
    assert (choice.backbone_weights, choice.loftup_weights) == (str(backbone), str(loftup))


def test_build_says_what_it_found_and_what_not(home, capsys):
    leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    assert main(["build", str(home / "out"), "--from-torch-hub-cache"]) == 2
    error = capsys.readouterr().err
    assert f"used      ViT-B-16-quickgelu       {home}/.cache/clip/ViT-B-16.pt (0.0 MB)" in error
    assert "these weights were not found:\n  loftup_clip:" in error
    assert not (home / "out").exists()


def test_build_takes_what_it_found_and_says_how_to_check_it(home, capsys, monkeypatch):
    clip = leave(home / ".cache" / "clip" / "ViT-B-16.pt")
    loftup = leave(home / "mine" / "loftup_clip.ckpt")
    sam2 = leave(home / "mine" / "sam2.1_hiera_small.pt")
    built = []
    monkeypatch.setattr("wordmask_export.build.build", lambda out, choice, protocol, **settings: built.append(choice))
    assert main(["build", str(home / "out"), "--weights-folder", str(home / "mine")]) == 0
    assert built == [
        Choice(sam2="sam2.1_hiera_small", clip_weights=str(clip), loftup_weights=str(loftup), sam2_weights=str(sam2))
    ]
    assert f"wordmask check {home}/out says whether" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from-torch-hub-cache", "--weights", "random:0"], "leave out --from-torch-hub-cache"),
        (["--weights-folder", "nowhere"], "--weights-folder is nowhere, which is no folder"),
    ],
)
def test_contradictions_are_told(home, capsys, options, message):
    assert main(["build", str(home / "out"), *options]) == 2
    assert message in capsys.readouterr().err
