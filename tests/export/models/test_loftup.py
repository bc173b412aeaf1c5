"""LoftUp: goldens of the published function, and the export form against it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from wordmask.dense.loftup import window_inputs  # noqa: E402
from wordmask_export.graphs.loftup import LoftUpFeatures, LoftUpGraph  # noqa: E402
from wordmask_export.graphs.specs import loftup_constants  # noqa: E402
from wordmask_export.models import loftup  # noqa: E402


def golden(path):
    stored = np.load(path)
    state = {name[6:]: torch.from_numpy(stored[name]) for name in stored.files if name.startswith("state/")}
    return stored, state


def relative(found, expected):
    return np.linalg.norm(np.asarray(found) - expected) / np.linalg.norm(expected)


def graph_inputs(module, features, guidance):
    """The tensors of the loftup graph, as the runtime makes them."""
    inputs = {"features": features, **window_inputs(guidance, features.shape[2:], loftup_constants(module))}
    names = ("features", "guidance", "inside", "colour_table", "row_table", "column_table", "key_table")
    return [torch.from_numpy(np.ascontiguousarray(inputs[name])) for name in names]


def random_case(module, *, batch=1, grid=(5, 7), size=(40, 56), seed=0):
    rng = np.random.default_rng(seed)
    dim = len(module.channelnorm.norm.weight)
    features = rng.standard_normal((batch, dim, *grid), dtype=np.float32)
    return features, rng.integers(0, 256, (batch, *size, 3), dtype=np.uint8)


def published(module, features, guidance):
    return module(torch.from_numpy(features), torch.from_numpy(guidance).permute(0, 3, 1, 2)).numpy()


def test_a_checkpoint_of_its_training_gives_the_same_module(data):
    _, state = golden(data / "loftup_dim32.npz")
    trained = {name.replace("channelnorm.", "model.1."): value for name, value in state.items()}
    trained |= {"model.0.model.cls_token": torch.zeros(1), "downsampler.weight": torch.zeros(1)}
    found, expected = loftup.load(loftup.of_training(trained)).state_dict(), loftup.load(state).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())
    assert loftup.of_training(state) is state


def test_float_guidance_equals_the_reference(data):
    stored, state = golden(data / "loftup_dim32.npz")
    found = loftup.load(state)(torch.from_numpy(stored["features"]), torch.from_numpy(stored["image"])).numpy()
    assert relative(found, stored["output_f64"]) < 1e-4
    assert relative(found, stored["output"]) < 3e-4  # the reference's own fp32 rounds sines of up to 22026


def test_byte_guidance_equals_the_reference(data):
    stored, state = golden(data / "loftup_uint8.npz")
    found = published(loftup.load(state), stored["features"], stored["guidance"])
    assert relative(found, stored["output_f64"]) < 1e-4


def test_export_form_equals_the_reference(data):
    stored, state = golden(data / "loftup_uint8.npz")
    module = loftup.load(state)
    export = LoftUpFeatures(LoftUpGraph(module))
    found = export(*graph_inputs(module, stored["features"], stored["guidance"]))
    assert relative(found, stored["output_f64"]) < 1e-4


@pytest.mark.parametrize("dim", [32, 48, 512])  # widths 52, 68 and 532: none a multiple of 16
def test_padding_changes_nothing(dim):
    module = loftup.random(dim, seed=dim)
    features, guidance = random_case(module, grid=(3, 4), size=(16, 24))
    found = LoftUpFeatures(LoftUpGraph(module))(*graph_inputs(module, features, guidance))
    assert relative(found, published(module, features, guidance)) < 1e-5


@pytest.mark.parametrize("for_cpu", [False, True])
def test_logits_are_cosine_similarities(for_cpu):
    module = loftup.random(48, seed=0)
    features, guidance = random_case(module)
    text = np.random.default_rng(1).standard_normal((3, 48)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    found = LoftUpGraph(module, for_cpu=for_cpu)(*graph_inputs(module, features, guidance), torch.from_numpy(text))
    dense = published(module, features, guidance)
    expected = np.einsum("bdhw,cd->bchw", dense / np.linalg.norm(dense, axis=1, keepdims=True), text)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rows_of_a_batch_do_not_influence_each_other():
    module = loftup.random(32, seed=0)
    features, guidance = random_case(module, batch=3)
    guidance[1] //= 4  # another range: the reference would scale the whole batch by one
    together = published(module, features, guidance)
    for row in range(3):
        alone = published(module, features[row : row + 1], guidance[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-5)


def test_scale_and_offset_of_the_guidance_do_not_matter():
    module = loftup.random(32, seed=0).double()
    features, guidance = random_case(module)
    image = torch.from_numpy(guidance).permute(0, 3, 1, 2)
    features = torch.from_numpy(features).double()
    np.testing.assert_allclose(module(features, image), module(features, (image.double() / 255 - 0.4) / 0.3), atol=1e-5)


def test_a_flat_guidance_is_allowed():
    module = loftup.random(32, seed=0)
    features, guidance = random_case(module)
    guidance[:] = 7
    found = LoftUpFeatures(LoftUpGraph(module))(*graph_inputs(module, features, guidance))
    assert relative(found, published(module, features, guidance)) < 1e-5


def test_dimensions_are_read_from_the_state():
    module = loftup.random(40, seed=0)
    again = loftup.load(module.state_dict())
    features, guidance = random_case(module, grid=(2, 9), size=(19, 33))
    np.testing.assert_array_equal(published(again, features, guidance), published(module, features, guidance))


def test_another_state_is_refused():
    with pytest.raises(ValueError, match="LoftUp"):
        loftup.load({"weight": torch.zeros(1)})
