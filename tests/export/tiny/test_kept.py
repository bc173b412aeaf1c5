"""The weights beside the shipped bundle: they are those it was built from, and give what its graphs give."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import load_file  # noqa: E402

from wordmask.backends import run_to_host  # noqa: E402
from wordmask.backends.onnxruntime.graph import OrtGraph  # noqa: E402
from wordmask.bundle.opening import open_bundle  # noqa: E402
from wordmask_export.graphs.specs import specs  # noqa: E402
from wordmask_export.models.pipeline import load  # noqa: E402
from wordmask_export.models.weights import read  # noqa: E402
from wordmask_export.parity.pipeline import relative_error  # noqa: E402
from wordmask_export.tiny.__main__ import main  # noqa: E402
from wordmask_export.tiny.bundle import protocol_of, tiny_choice  # noqa: E402
from wordmask_export.tiny.kept import NAMES, keep, weights_file  # noqa: E402

GRAPHS = (
    *("clip_image", "clip_text", "loftup", "loftup_cpu", "loftup_features"),
    *("sam2_encoder", "sam2_decoder", "sam2_mask_decoder"),
)


@pytest.fixture(scope="module")
def tiny():
    return open_bundle("tiny")


@pytest.fixture(scope="module")
def weights(tiny):
    return tiny.folder.parent / "tiny-weights"


@pytest.fixture(scope="module")
def modules(weights):
    """The graphs' modules with the weights, by name."""
    return {spec.name: spec for spec in specs(load(tiny_choice(weights)), protocol_of(weights))}


def inputs_of(spec):
    """Seeded inputs of a graph, in the ranges that its inputs have."""
    rng = np.random.default_rng(0)
    arrays = {}
    for tensor, example in zip(spec.inputs, spec.example, strict=True):
        shape, values = tuple(example.shape), rng.normal(size=example.shape)
        if tensor.name == "tokens":
            values = np.array([[49406, *rng.integers(1000, size=5), 49407] for _ in range(2)])
        elif tensor.name == "point_labels":
            values = rng.integers(0, 4, shape)
        elif tensor.name in ("image", "guidance"):
            values = rng.integers(0, 256, shape)
        elif tensor.name == "point_coords":
            values = rng.uniform(0, 512, shape)
        elif tensor.name == "inside":
            values = np.ones(shape)
        elif tensor.name.endswith("_table"):
            values = np.sin(values)
        arrays[tensor.name] = values.astype(tensor.dtype)
    return arrays


@pytest.mark.parametrize("name", GRAPHS)
def test_the_model_with_these_weights_gives_what_the_shipped_graph_gives(name, tiny, modules):
    spec, entry = modules[name], tiny.manifest.graphs[name]
    arrays = inputs_of(spec)
    expected = run_to_host(OrtGraph(tiny.path(entry), entry, device="cpu"), arrays)
    with torch.inference_mode():
        found = spec.module(*map(torch.from_numpy, arrays.values()))
    found = found if isinstance(found, tuple) else (found,)
    for tensor, value in zip(spec.outputs, found, strict=True):
        assert relative_error(value.numpy(), expected[tensor.name]) < 5e-6, tensor.name  # two runtimes' rounding


@pytest.mark.parametrize("name", NAMES)
def test_the_manifest_names_these_files(name, tiny, weights):
    model = tiny.manifest.models[name]
    file = weights_file(weights, name)
    assert f"({file.name})" in model.source
    assert hashlib.sha256(file.read_bytes()).hexdigest() == model.weights_sha256


def test_the_protocol_is_that_of_the_shipped_bundle(tiny, weights):
    clip, protocol = tiny.manifest.clip, protocol_of(weights)
    for name in ("window", "stride", "short_side", "long_side", "logit_scale"):
        assert getattr(protocol, name) == getattr(clip, name)


@pytest.fixture
def trained(tmp_path):
    """A folder as `train` leaves it, of small tensors."""
    for name in NAMES:
        state = {"w": torch.tensor([1 / 3, 2.0]), "logit_scale": torch.tensor(1 / 3), "batches": torch.tensor(7)}
        torch.save(state, tmp_path / f"{name}.pt")
    return tmp_path


def test_weights_are_kept_in_half_precision_and_scalars_as_they_are(trained, tmp_path):
    assert main(["keep", "--weights", str(trained), "--out", str(tmp_path / "kept")]) == 0
    for name in NAMES:
        stored = load_file(tmp_path / "kept" / f"{name}.safetensors")
        assert stored["w"].dtype == torch.float16
        assert stored["logit_scale"].item() == torch.tensor(1 / 3).item()
        assert stored["batches"].item() == 7
        assert read(weights_file(tmp_path / "kept", name))["w"].tolist() == [0.333251953125, 2.0]


def test_kept_weights_come_before_those_of_a_training_and_can_be_kept_again(trained):
    assert weights_file(trained, "clip").name == "clip.pt"
    keep(trained, trained)
    assert weights_file(trained, "clip").name == "clip.safetensors"
    before = (trained / "clip.safetensors").read_bytes()
    keep(trained, trained)
    assert (trained / "clip.safetensors").read_bytes() == before


def test_a_value_that_half_precision_lacks_is_told_and_nothing_is_written(trained, tmp_path, capsys):
    torch.save({"w": torch.tensor([1e6])}, trained / "sam2.pt")
    assert main(["keep", "--weights", str(trained), "--out", str(tmp_path / "kept")]) == 1
    assert "w goes up to 1e+06: too large for half precision" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_missing_weights_are_told(tmp_path, capsys):
    assert main(["keep", "--weights", str(tmp_path), "--out", str(tmp_path / "kept")]) == 1
    assert "clip.pt: cannot be read (No such file or directory)" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
