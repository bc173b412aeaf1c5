"""Strongly typed graphs: what is half, what stays fp32, and that each island earns its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402
import onnxruntime  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

import rounding  # noqa: E402
from wordmask.bundle.manifest_reading import read_manifest  # noqa: E402
from wordmask.dense.loftup import window_inputs  # noqa: E402
from wordmask_bench.scenes import generate  # noqa: E402
from wordmask_export.precision.half_weights import shrink  # noqa: E402
from wordmask_export.precision.policy import POLICY, islands, typed  # noqa: E402
from wordmask_export.precision.retype import lowered, retype, value_types, widened  # noqa: E402

TINY = Path(__file__).parents[3] / "models_cache" / "tiny"
TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
PRODUCTS = {"MatMul", "Gemm", "Conv", "ConvTranspose"}


def graph_of(bundle, name):
    return onnx.load(bundle / f"{name}.onnx")


def run(model, inputs):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def error(found, expected):
    """The worst output's relative error, median over rows: a near tie of SAM2's masks may fall either way."""
    worst = 0.0
    for name, value in expected.items():
        rows, difference = (x.reshape(len(x), -1) for x in (value, found[name] - value))
        worst = max(worst, float(np.median(np.linalg.norm(difference, axis=1) / np.linalg.norm(rows, axis=1))))
    return worst


def windows(size, count):
    """Windows of a held-out scene, u8 (count, size, size, 3)."""
    image = generate(1_000_000, combinations="test", size=(3 * size, 3 * size)).image
    return np.stack([image[i * size // 2 :, i * size // 2 :][:size, :size] for i in range(count)])


@pytest.fixture(scope="module")
def cases():
    """Graphs of the trained bundle in fp32, inputs from a scene, and what they give."""
    manifest = read_manifest(TINY)
    graphs = {name: widened(graph_of(TINY, name)) for name in ("clip_image", "loftup", "sam2_encoder", "sam2_decoder")}
    image = windows(manifest.clip.window, 3)
    features = run(graphs["clip_image"], {"image": image})["features"]
    pixels = window_inputs(image[:2], features.shape[2:], manifest.loftup)
    text = np.random.default_rng(0).standard_normal((6, manifest.clip.dim)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    square = windows(manifest.sam2.image_size, 1).astype(np.float32)
    prompts = {
        "point_coords": np.random.default_rng(1).uniform(0, 512, (8, 2, 2)).astype(np.float32),
        "point_labels": np.ones((8, 2), np.int32),
    }
    inputs = {
        "clip_image": {"image": image},
        "loftup": {"features": features[:2], **pixels, "text": text},
        "sam2_encoder": {"image": square},
        "sam2_decoder": {**run(graphs["sam2_encoder"], {"image": square}), **prompts},
    }
    return {name: (graph, inputs[name], run(graph, inputs[name])) for name, graph in graphs.items()}


@pytest.fixture
def home(request, name):
    """The small bundle that has the graph."""
    bundles = {"backbone_image": "features_bundle", "sam2_mask_decoder": "mask_prompt_bundle"}
    return request.getfixturevalue(bundles.get(name, "small_bundle"))


def loss(case, policy, precision):
    model, inputs, expected = case
    return error(run(rounding.emulate(retype(model, islands(model, policy), precision)), inputs), expected)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("name", list(POLICY))
def test_products_are_in_the_precision_asked_for_and_the_interface_stays(home, name, precision):
    before = graph_of(home, name)
    model = typed(before, name, precision)
    assert list(model.graph.input) == list(before.graph.input)
    assert list(model.graph.output) == list(before.graph.output)
    types = value_types(model)
    products = [types[node.output[0]] for node in model.graph.node if node.op_type in PRODUCTS]
    single = 1 if name in ("sam2_decoder", "sam2_mask_decoder") else 0  # coordinates, before their sines
    expected = {TensorProto.FLOAT: len(products)} if precision == "fp32" else {TYPES[precision]: len(products) - single}
    for kind, count in expected.items():
        assert products.count(kind) == count
    assert all(types[node.output[0]] == TensorProto.FLOAT for node in model.graph.node if "Norm" in node.op_type)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", list(POLICY))
def test_casts_never_undo_each_other_and_no_value_is_cast_twice(home, name, precision):
    model = typed(graph_of(home, name), name, precision)
    types = value_types(model)
    floats = {TensorProto.FLOAT, TYPES[precision]}
    casts = [node for node in model.graph.node if node.op_type == "Cast" and types[node.input[0]] in floats]
    sources = [node.input[0] for node in casts if types[node.output[0]] in floats]
    assert len(set(sources)) == len(sources)
    assert not set(sources) & {node.output[0] for node in casts}
    assert len(sources) < 0.2 * len(model.graph.node)


@pytest.mark.parametrize(("precision", "limit"), [("fp16", 1.5e-3), ("bf16", 1.5e-2)])
@pytest.mark.parametrize("name", ["clip_image", "loftup", "sam2_encoder", "sam2_decoder"])
def test_half_arithmetic_stays_close_to_fp32(cases, name, precision, limit):
    assert loss(cases[name], POLICY[name], precision) < limit


@pytest.mark.parametrize(
    ("name", "island", "precision"),
    [
        ("clip_image", "normalised_pixels", "fp16"),
        ("clip_image", "layer_norms", "fp16"),
        ("clip_image", "feeders", "fp16"),
        ("loftup", "layer_norms", "fp16"),
        ("sam2_encoder", "normalised_pixels", "bf16"),
        ("sam2_decoder", "layer_norms", "fp16"),
    ],
)
def test_without_an_island_the_error_grows(cases, name, island, precision):
    policy = POLICY[name]
    without = tuple(other for other in policy if other.select.__name__ != island)
    assert len(without) == len(policy) - 1
    assert loss(cases[name], without, precision) > 1.1 * loss(cases[name], policy, precision)


def test_half_weights_are_folded(small_bundle, tmp_path):
    """fp32 constants that were stored in half with a cast come out as they were."""
    model = graph_of(small_bundle, "loftup")
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, tmp_path / "loftup.onnx")
    shrink(tmp_path / "loftup.onnx")
    stored = graph_of(tmp_path, "loftup")
    assert len(stored.graph.node) > len(model.graph.node)
    found = typed(stored, "loftup", "fp32")
    assert [node.op_type for node in found.graph.node] == [node.op_type for node in model.graph.node]
    expected = sorted(numpy_helper.to_array(tensor).tobytes() for tensor in model.graph.initializer)
    assert sorted(numpy_helper.to_array(tensor).tobytes() for tensor in found.graph.initializer) == expected


@pytest.mark.parametrize("name", list(POLICY))
def test_a_typed_graph_can_be_typed_again(home, name):
    model = graph_of(home, name)
    once = typed(model, name, "fp16")
    operators = [node.op_type for node in model.graph.node]
    assert [node.op_type for node in typed(once, name, "fp32").graph.node] == operators
    again = typed(once, name, "fp16")
    assert [node.op_type for node in again.graph.node] == [node.op_type for node in once.graph.node]


def test_bf16_constants_are_rounded_as_torch_rounds():
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    values[:4] = [0.0, -0.0, np.inf, 1 + 2**-8]  # the last is a tie
    found = rounding.widen(lowered(numpy_helper.from_array(values, "x"), "y", TensorProto.BFLOAT16))
    expected = torch.from_numpy(values).bfloat16().float().numpy()
    np.testing.assert_array_equal(numpy_helper.to_array(found), expected)


def test_a_mask_of_the_lowest_number_becomes_minus_infinity():
    tensor = numpy_helper.from_array(np.array([0, np.finfo(np.float32).min], np.float32), "mask")
    for half in TYPES.values():
        found = numpy_helper.to_array(rounding.widen(lowered(tensor, "half", half)))
        np.testing.assert_array_equal(found, [0, -np.inf])


def test_a_weight_too_large_for_fp16_is_refused_and_bf16_takes_it():
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    weight = numpy_helper.from_array(np.array([70000.0], np.float32), "weight")
    nodes = [helper.make_node("Mul", ["x", "weight"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(ValueError, match="weight goes up to 70000"):
        typed(model, "sam2_encoder", "fp16")
    typed(model, "sam2_encoder", "bf16")


def test_a_graph_without_a_policy_is_refused(small_bundle):
    with pytest.raises(ValueError, match="dinov2: there is no policy"):
        typed(graph_of(small_bundle, "loftup"), "dinov2", "fp16")
