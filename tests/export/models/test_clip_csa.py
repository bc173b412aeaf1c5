"""CLIP with correlative self-attention: goldens, and open_clip's own tower where nothing is changed."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402

from wordmask_export.models import clip_csa, clip_text  # noqa: E402


def golden(path):
    stored = np.load(path)
    state = {name[6:]: torch.from_numpy(stored[name]) for name in stored.files if name.startswith("state/")}
    return stored, state


@pytest.mark.parametrize("name", ["csa_small", "csa_interpolated"])
def test_features_equal_the_reference(data, name):
    stored, state = golden(data / f"{name}.npz")
    found = clip_csa.load(state)(torch.from_numpy(stored["image"])).numpy()
    np.testing.assert_allclose(found, stored["features"], atol=2e-5)  # of values up to 3.5: fp32 rounding


def test_class_token_equals_the_reference(data):
    stored, state = golden(data / "csa_small.npz")
    found = clip_csa.load(state).tokens(torch.from_numpy(stored["image"]))[:, 0].numpy()
    np.testing.assert_allclose(found, stored["cls"], atol=2e-5)


def test_without_csa_it_is_open_clips_image_tower(small_models):
    model = small_models.clip
    tower = clip_csa.load(model.state_dict(), attention="plain", quick_gelu=True)
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(tower.tokens(image)[:, 0], model.encode_image(image), atol=1e-5)


def test_csa_changes_the_last_block_only(small_models):
    state = small_models.clip.state_dict()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    towers = {name: clip_csa.load(state, attention=name) for name in ("plain", "csa", "maskclip")}
    outputs = {name: tower(image) for name, tower in towers.items()}
    assert (outputs["csa"] - outputs["plain"]).abs().max() > 1e-2
    assert (outputs["maskclip"] - outputs["csa"]).abs().max() > 1e-2
    same = {name: tower.state_dict() for name, tower in towers.items()}
    assert all(torch.equal(same["plain"][key], same["csa"][key]) for key in same["plain"])


def test_maskclip_mixes_no_tokens(small_models):
    """Each patch's output depends on the earlier blocks alone: values projected, no residual, no MLP."""
    tower = clip_csa.load(small_models.clip.state_dict(), attention="maskclip")
    block = tower.transformer.resblocks[-1]
    x = torch.randn(1, 17, 128, generator=torch.Generator().manual_seed(0))
    values = F.linear(block.ln_1(x), block.attn.in_proj_weight[256:], block.attn.in_proj_bias[256:])
    np.testing.assert_allclose(block(x, "maskclip"), block.attn.out_proj(values), atol=1e-5)


def test_positions_are_interpolated_for_another_grid_of_equal_token_count():
    positions = torch.randn(17, 8, generator=torch.Generator().manual_seed(0))
    wide = clip_csa.interpolate_positions(positions, 2, 8)
    assert wide.shape == positions.shape
    assert not torch.equal(wide, positions)
    assert clip_csa.interpolate_positions(positions, 4, 4) is positions


def test_weights_of_another_model_are_refused():
    with pytest.raises(ValueError, match=r"conv1\.weight"):
        clip_csa.load({"visual.trunk.stem": torch.zeros(1)})


def test_text_tower_equals_open_clip_at_any_length(small_models):
    model = small_models.clip
    tower = clip_text.load(model.state_dict(), heads=2, quick_gelu=True)
    tokens = torch.zeros(3, 77, dtype=torch.int32)
    for row, length in enumerate((3, 9, 20)):
        tokens[row, :length] = torch.arange(1, length + 1)
        tokens[row, length - 1] = 49407
    expected = model.encode_text(tokens.long(), normalize=True)
    np.testing.assert_allclose(tower(tokens), expected, atol=1e-6)
    np.testing.assert_allclose(tower(tokens[:, :20]), expected, atol=1e-6)
