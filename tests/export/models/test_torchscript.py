"""OpenAI's CLIP is a TorchScript archive: its weights are read, and nothing in it is run."""

from __future__ import annotations

import dataclasses
import pickle
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from wordmask_export.models import pipeline, weights  # noqa: E402
from wordmask_export.models.torchscript import is_torchscript, read_torchscript  # noqa: E402
from wordmask_export.models.weights import WeightsError  # noqa: E402

# torch advises against TorchScript, which is what OpenAI's files are
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning", "ignore:`torch.jit:FutureWarning")


class Parts(nn.Module):
    """A model's parameters and parts, with what OpenAI's archives hold beside them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name, child in model.named_children():
            setattr(self, name, child)
        for name, parameter in model.named_parameters(recurse=False):
            setattr(self, name, parameter)
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(64))
        self.register_buffer("attn_mask", torch.zeros(3, 3))

    def forward(self, x):
        return x * self.logit_scale


@pytest.fixture
def archive(small_models, tmp_path) -> Path:
    path = tmp_path / "ViT-B-16.pt"
    torch.jit.trace(Parts(small_models.clip), torch.zeros(1), check_trace=False).save(str(path))
    return path


def written(path: Path, data: bytes, **storages: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/constants.pkl", b"")
        for name, content in storages.items():
            archive.writestr(f"a/data/{name}", content)
    return path


def test_every_weight_is_read_as_torch_reads_it(archive, small_models):
    found, expected = read_torchscript(archive), torch.jit.load(str(archive)).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert found.keys() > small_models.clip.state_dict().keys()


def test_views_and_half_precision_are_read(tmp_path):
    module = nn.Module()
    module.register_buffer("turned", torch.arange(6.0).reshape(2, 3).half().T)
    module.register_buffer("part", torch.arange(10)[4:7])
    module.register_buffer("none", torch.zeros(0, 2))
    torch.jit.script(module).save(str(tmp_path / "m.pt"))
    found = read_torchscript(tmp_path / "m.pt")
    assert found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["turned"].dtype == torch.float16
    assert found["part"].tolist() == [4, 5, 6]
    assert found["none"].shape == (0, 2)
    assert weights.read(tmp_path / "m.pt")["turned"].dtype == torch.float32


def test_the_archive_gives_the_same_clip(archive, small_choice, small_models, tmp_path):
    for name in ("loftup", "sam2"):
        torch.save(getattr(small_models, name).state_dict(), tmp_path / f"{name}.pt")
    files = {f"{name}_weights": str(tmp_path / f"{name}.pt") for name in ("loftup", "sam2")}
    loaded = pipeline.load(dataclasses.replace(small_choice, weights=None, clip_weights=str(archive), **files))
    expected = small_models.clip.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.clip.state_dict().items())


def test_what_torch_saves_is_no_torchscript(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "w.pt")
    (tmp_path / "text.pt").write_bytes(b"no zip")
    assert not is_torchscript(tmp_path / "w.pt")
    assert not is_torchscript(tmp_path / "text.pt")


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def test_code_in_an_archive_is_not_executed(tmp_path):
    marker = tmp_path / "executed"
    path = written(tmp_path / "evil.pt", pickle.dumps(Payload(marker), protocol=2))
    with pytest.raises(WeightsError, match="nothing in it was executed"):
        weights.read(path)
    assert not marker.exists()


MODULE = b"c__torch__\nM\n)\x81"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02}.",  # no module
        b"\x80\x02" + MODULE + b"q\x00}X\x01\x00\x00\x00ah\x00sb.",  # a module inside itself
        b"\x80\x02" + MODULE + b"}X\x01\x00\x00\x00a" + TENSOR + b"K\x00(K\x09t(K\x01t\x89NtRsb.",  # beyond its values
        b"\x80\x02" + MODULE + b"}X\x01\x00\x00\x00a" + TENSOR.replace(b"K\x02tQ", b"K\x03tQ") + b"K\x00)(t\x89NtRsb.",
        b"\x80\x02j\xff\xff\xff\x7f.",  # an index that nothing was stored at
    ],
    ids=["empty", "no-module", "endless", "beyond", "another-count", "memo"],
)
def test_malformed_archives_are_refused_by_name(tmp_path, data):
    path = written(tmp_path / "w.pt", data, **{"0": bytes(8)})
    with pytest.raises(WeightsError, match=r"w\.pt"):
        weights.read(path)


def test_a_cut_archive_is_refused_by_name(archive):
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    with pytest.raises(WeightsError, match=r"ViT-B-16\.pt: cannot be read"):
        weights.read(archive)
