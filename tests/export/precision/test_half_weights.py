"""Half-precision weights under fp32 arithmetic lose nothing but the rounding of the weights."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import onnx  # noqa: E402

from wordmask.backends.onnxruntime.graph import OrtGraph  # noqa: E402
from wordmask.bundle.manifest_reading import read_manifest  # noqa: E402
from wordmask_export.precision.half_weights import round_weights, shrink  # noqa: E402


def round_graph(path):
    """What tracing a rounded model gives: every constant is one that half precision holds."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            rounded = onnx.numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))
    onnx.save(model, path)


def test_a_rounded_models_graph_halves_and_gives_the_same_bits(small_bundle, tmp_path):
    entry = read_manifest(small_bundle).graphs["clip_image"]
    path = tmp_path / entry.file
    path.write_bytes((small_bundle / entry.file).read_bytes())
    round_graph(path)
    size, window = path.stat().st_size, entry.inputs[0].shape[1]
    image = np.random.default_rng(0).integers(0, 256, (2, window, window, 3), dtype=np.uint8)
    before = OrtGraph(path, entry, device="cpu").run({"image": image})["features"]
    shrink(path)
    after = OrtGraph(path, entry, device="cpu").run({"image": image})["features"]
    np.testing.assert_array_equal(after, before)
    assert path.stat().st_size < 0.6 * size


def test_constants_that_would_change_are_left(small_bundle, tmp_path):
    path = tmp_path / "loftup.onnx"
    path.write_bytes((small_bundle / "loftup.onnx").read_bytes())
    before = {t.name: onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    shrink(path)
    model = onnx.load(path)
    after = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for name, value in before.items():
        np.testing.assert_array_equal(after[name] if name in after else after[f"{name}_half"], value)


def test_rounding_touches_buffers_and_spares_counters():
    module = torch.nn.BatchNorm2d(3)
    module.running_mean.fill_(0.1)
    module.num_batches_tracked.fill_(100_001)
    round_weights(module)
    assert float(module.running_mean[0]) == float(np.float16(0.1))
    assert int(module.num_batches_tracked) == 100_001


def test_a_weight_beyond_half_precision_is_refused():
    module = torch.nn.Linear(1, 1)
    with torch.no_grad():
        module.bias.fill_(1e5)
    with pytest.raises(ValueError, match=r"bias goes up to 100000"):
        round_weights(module)
