"""Recovering weights: what was folded comes apart again, and the recovered models give what the shipped graphs give."""

from __future__ import annotations

import dataclasses
import functools
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

from wordmask.backends import run_to_host  # noqa: E402
from wordmask.backends.onnxruntime.graph import OrtGraph  # noqa: E402
from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest  # noqa: E402
from wordmask.bundle.opening import open_bundle  # noqa: E402
from wordmask_export.graphs.onnx_export import describe  # noqa: E402
from wordmask_export.graphs.specs import specs  # noqa: E402
from wordmask_export.models.pipeline import Choice, load  # noqa: E402
from wordmask_export.models.weights import read  # noqa: E402
from wordmask_export.parity.pipeline import relative_error  # noqa: E402
from wordmask_export.tiny import clip_stage, recover_loftup, sam2_stage, unfold  # noqa: E402
from wordmask_export.tiny import recover as recover_module  # noqa: E402
from wordmask_export.tiny.__main__ import main  # noqa: E402
from wordmask_export.tiny.data import PROTOCOL  # noqa: E402
from wordmask_export.tiny.graph_weights import GraphWeights  # noqa: E402
from wordmask_export.tiny.loftup_stage import LoftupStage, trained_towers  # noqa: E402
from wordmask_export.tiny.recover import UNUSED, recover  # noqa: E402

GRAPHS = ("clip_image", "clip_text", "loftup", "loftup_cpu", "loftup_features", "sam2_encoder", "sam2_decoder")


@pytest.fixture(scope="module")
def tiny():
    return open_bundle("tiny").folder


@pytest.fixture(scope="module")
def weights(tiny, tmp_path_factory):
    """Checkpoints recovered from the shipped bundle; the means that only training needs are of few windows."""
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recover_loftup, "BATCHES", 1)
        patch.setattr(recover_module, "LoftupStage", functools.partial(LoftupStage, scenes=2))
        recover(tiny, folder, report=lambda text: None)
    return folder


@pytest.fixture(scope="module")
def recovered(weights):
    """The graphs' modules with the recovered weights, by name."""
    files = {f"{name}_weights": str(weights / f"{name}.pt") for name in ("clip", "loftup", "sam2")}
    models = load(Choice(clip=str(clip_stage.CONFIG), sam2=str(sam2_stage.CONFIG), **files))
    return {spec.name: spec for spec in specs(models, PROTOCOL)}


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
def test_the_recovered_model_gives_what_the_shipped_graph_gives(name, tiny, recovered):
    spec, entry = recovered[name], read_manifest(tiny).graphs[name]
    arrays = inputs_of(spec)
    expected = run_to_host(OrtGraph(tiny / entry.file, entry, device="cpu"), arrays)
    with torch.inference_mode():
        found = spec.module(*map(torch.from_numpy, arrays.values()))
    found = found if isinstance(found, tuple) else (found,)
    for tensor, value in zip(spec.outputs, found, strict=True):
        assert relative_error(value.numpy(), expected[tensor.name]) < 5e-6, tensor.name  # two runtimes' rounding


@pytest.mark.parametrize("name", ["clip", "sam2"])
def test_weights_come_back_as_they_were_stored(name, weights):
    for key, value in read(weights / f"{name}.pt").items():
        if key != "logit_scale" and not key.startswith(UNUSED):
            assert torch.equal(value.half().float(), value), key


def test_rounding_them_for_a_bundle_changes_only_biases_of_loftup(weights):
    changed = {
        key for key, value in read(weights / "loftup.pt").items() if not torch.equal(value.half().float(), value)
    }
    layers = "upsampler.ca_transformer.layers"
    assert changed == {
        "upsampler.first_conv.1.bias", "upsampler.first_conv.4.bias", "upsampler.final_conv.0.bias",
        *(f"{layers}.{i}.{name}bias" for i in (0, 1) for name in ("0.attention.in_proj_", "1.net.1.")),
    }  # fmt: skip


def half_numbers(*shape, seed=0, scale=0.05):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values * scale).half().double()


def test_weights_and_gains_are_told_apart():
    weights, gains = half_numbers(40, 96), unfold.half(1 + half_numbers(40, 1, seed=1))
    found, found_gains = unfold.split_gains((weights * gains).float())
    assert torch.equal(found, weights)
    assert torch.equal(unfold.half(found_gains), gains)


def test_a_batch_norm_is_taken_from_its_convolution():
    weights, gains = half_numbers(6, 500), unfold.half(1 + half_numbers(6, seed=1))
    variances = unfold.half(1 + half_numbers(6, seed=2, scale=10.0).abs())
    folded = (weights * (gains / (variances + 1e-5).sqrt())[:, None]).float()
    for found, expected in zip(unfold.split_batch_norm(folded, 1e-5), (weights, gains, variances), strict=True):
        assert torch.equal(found, expected)


def test_means_over_outputs_are_added_again():
    weights = half_numbers(88, 20)
    folded = (weights - weights.mean(0)).float()
    found = unfold.add_means(folded)
    assert torch.equal(found, unfold.half(found))
    assert torch.equal((found - found.mean(0)).float(), folded)


def test_a_folded_bias_is_shared_so_that_little_is_lost_by_rounding():
    weights, folded = half_numbers(48, 88), half_numbers(48, seed=1, scale=0.3) * 1.2345
    norm, bias = unfold.split_bias(folded, weights)
    torch.testing.assert_close(bias + weights @ norm, folded, rtol=0, atol=1e-12)
    kept = unfold.half(bias) + weights @ unfold.half(norm)
    assert (kept - folded).norm() < 0.01 * (unfold.half(folded) - folded).norm()


@pytest.mark.parametrize(
    "split", [unfold.split_gains, unfold.add_means, lambda rows: unfold.split_batch_norm(rows, 1e-5)]
)
def test_weights_that_were_not_in_half_precision_are_refused(split):
    rows = torch.randn(20, 88, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="half-precision"):
        split(rows * 0.05)


def test_unnamed_weights_are_found_by_the_bias_that_they_go_with(tmp_path):
    rng = np.random.default_rng(0)
    query, keys, values = (rng.normal(size=shape).astype(np.float16) for shape in ((6, 8), (2, 4, 6), (2, 6, 4)))
    constants = {
        "c_half": query, "d": keys.astype(np.float32), "e": values.astype(np.float32), "q.bias": np.ones(8, np.float32),
        "v.bias": np.zeros(8, np.float32), "split": np.array([0, -1, 2, 4]), "joined": np.array([0, -1, 8]),
    }  # fmt: skip
    steps = [
        ("Cast", ["c_half"], "c"), ("MatMul", ["x", "c"], "p"), ("Add", ["p", "q.bias"], "l"),
        ("Reshape", ["l", "split"], "r"), ("Transpose", ["r"], "h"), ("MatMul", ["h", "d"], "s"),
        ("MatMul", ["s", "e"], "m"), ("Transpose", ["m"], "t"), ("Reshape", ["t", "joined"], "j"),
        ("Add", ["j", "v.bias"], "y"),
    ]  # fmt: skip
    nodes = [helper.make_node(operator, inputs, [output]) for operator, inputs, output in steps]
    initialisers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], initialisers)), tmp_path / "g.onnx")
    graph = GraphWeights(tmp_path / "g.onnx")
    assert np.array_equal(graph.values["q.weight"], query.T)
    assert np.array_equal(graph.after("q.bias", "MatMul"), keys)
    assert np.array_equal(graph.values["v.weight"][5], values[1, :, 1])  # the second head's second output
    with pytest.raises(KeyError, match=r"follows v\.bias"):
        graph.after("v.bias", "MatMul")


@pytest.mark.parametrize("name", ["clip", "sam2"])
def test_a_training_starts_from_the_weights_of_a_folder(name, weights, tmp_path):
    main(["train", "--stage", name, "--from", str(weights), "--out", str(tmp_path), "--minutes", "0"])
    found = read(tmp_path / f"{name}.pt")
    for key, value in read(weights / f"{name}.pt").items():
        assert torch.equal(found[key], value), key


def test_recovered_batch_norms_fit_the_windows_that_training_sees(weights):
    stage = LoftupStage(0, trained_towers(weights / "clip.pt"), batch=4, scenes=2)
    fresh, _ = stage.loss(0)
    stage.start(read(weights / "loftup.pt"))
    loss, figures = stage.loss(0)  # with the means and variances of the batch
    assert loss < 0.2 * fresh
    assert figures["background"] > 0.9


def test_other_weights_and_damaged_bundles_are_refused(tiny, tmp_path, capsys):
    bundle, out = shutil.copytree(tiny, tmp_path / "bundle"), tmp_path / "out"
    command = ["recover", "--bundle", str(bundle), "--out", str(out)]
    graph = onnx.load(bundle / "loftup.onnx")
    (weight,) = (value for value in graph.graph.initializer if value.name == "stem.conv2.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) ** 3, weight.name))
    onnx.save(graph, bundle / "loftup.onnx")
    assert main(command) == 1
    assert "the manifest says" in capsys.readouterr().err

    manifest = read_manifest(bundle)
    described = dataclasses.asdict(describe(bundle / "loftup.onnx"))
    changed = {"loftup": dataclasses.replace(manifest.graphs["loftup"], **described)}
    manifest = dataclasses.replace(manifest, graphs={**manifest.graphs, **changed}).sealed()
    (bundle / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    assert main(command) == 1
    assert "not a multiple of half-precision numbers" in capsys.readouterr().err
    assert not out.exists()
