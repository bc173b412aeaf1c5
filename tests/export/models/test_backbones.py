"""The backbones beside CLIP: each graph against a transformer written out here, on timm's weights."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402
from timm.models.vision_transformer import checkpoint_filter_fn  # noqa: E402

from wordmask.backends.onnxruntime.graph import OrtGraph  # noqa: E402
from wordmask.bundle.manifest import FeaturesManifest  # noqa: E402
from wordmask.bundle.opening import open_any_bundle  # noqa: E402
from wordmask.cli import build as export_cli  # noqa: E402
from wordmask.cli.main import main  # noqa: E402
from wordmask.featurizer import Featurizer  # noqa: E402
from wordmask_export.graphs import specs  # noqa: E402
from wordmask_export.graphs.onnx_export import export  # noqa: E402
from wordmask_export.models import backbones  # noqa: E402
from wordmask_export.models.backbones import FAMILIES, BackboneChoice, new_trunk  # noqa: E402
from wordmask_export.models.pipeline import loftup_wanted  # noqa: E402
from wordmask_export.models.weights import WeightsError, fill  # noqa: E402
from wordmask_export.parity.features import FeatureParity  # noqa: E402

HEADS = 2
SIZES = {"embed_dim": 32, "depth": 1, "num_heads": HEADS}


def small(name, window):
    return backbones.load(BackboneChoice(name, weights="random:3", sizes=SIZES), window)


def positions_of(native, grid, name):
    """Position embeddings (1, D, grid, grid) as the authors interpolate them (facebookresearch/dinov2)."""
    side = round(native.shape[1] ** 0.5)
    maps = native.reshape(1, side, side, -1).permute(0, 3, 1, 2)
    if name.startswith("dinov2") and not name.endswith("_reg"):
        return F.interpolate(maps, scale_factor=(grid + 0.1) / side, mode="bicubic")
    return F.interpolate(maps, size=(grid, grid), mode="bicubic", antialias=True)


def written_out(state, image, name, patch, eps=1e-6):
    """A vision transformer on u8 (B, S, S, 3): the last block's patch tokens, normalised, f64 (B, D, g, g)."""

    def norm(x, key):
        return F.layer_norm(x, x.shape[-1:], state[f"{key}.weight"], state[f"{key}.bias"], eps)

    def linear(x, key):
        return F.linear(x, state[f"{key}.weight"], state[f"{key}.bias"])

    mean, std = (
        torch.tensor(v, dtype=torch.float64)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    pixels = (image.permute(0, 3, 1, 2).double() / 255 - mean) / std
    x = F.conv2d(pixels, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=patch)
    grid, native = x.shape[-1], state["pos_embed"]
    extra = 1 if name in ("dinov2s", "dinov2b") else 0  # the class token has a position of its own there
    x = (x + positions_of(native[:, extra:], grid, name)).flatten(2).transpose(1, 2)
    prefix = [state["cls_token"] + native[:, :extra].sum(1)] if "cls_token" in state else []
    prefix += [state["reg_token"]] if "reg_token" in state else []
    x = torch.cat([*(tokens.expand(len(x), -1, -1) for tokens in prefix), x], dim=1)
    gamma = [state.get(f"blocks.0.ls{number}.gamma", torch.ones(1)) for number in (1, 2)]
    q, k, v = (
        part.unflatten(-1, (HEADS, -1)).transpose(1, 2)
        for part in linear(norm(x, "blocks.0.norm1"), "blocks.0.attn.qkv").chunk(3, dim=-1)
    )
    mixed = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1) @ v
    x = x + gamma[0] * linear(mixed.transpose(1, 2).flatten(2), "blocks.0.attn.proj")
    hidden = F.gelu(linear(norm(x, "blocks.0.norm2"), "blocks.0.mlp.fc1"))
    x = x + gamma[1] * linear(hidden, "blocks.0.mlp.fc2")
    tokens = norm(x, "norm")[:, -grid * grid :]
    return tokens.transpose(1, 2).unflatten(2, (grid, grid))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_backbone_computes_its_transformer_at_another_grid(monkeypatch, tmp_path, name):
    """Positions as the authors interpolate them, class and register tokens left out; one graph of each family."""
    patch = 14 if name.startswith("dinov2") else 16
    window = 5 * patch
    fit, native = backbones.fit_positions, {}

    def keep(trunk, window):
        native.update({key: value.detach().double() for key, value in trunk.state_dict().items()})
        fit(trunk, window)

    monkeypatch.setattr(backbones, "fit_positions", keep)
    models = small(name, window)
    assert models.loftup.channelnorm.norm.weight.shape == (32,)
    spec = next(specs.backbone_specs(models, window))
    image = np.random.default_rng(1).integers(0, 256, (2, window, window, 3), dtype=np.uint8)
    found = spec.module(torch.from_numpy(image)).detach().numpy()
    if name in ("dinov2s", "dinov2s_reg", "siglip"):  # the others differ from these by their sizes
        entry = export(spec, tmp_path)
        found = OrtGraph(tmp_path / entry.file, entry, device="cpu").run({"image": image})["features"]
    expected = written_out(native, torch.from_numpy(image), name, patch).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-4)  # of deviation 1, in single precision
    assert np.abs(found).mean() > 0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_published_sizes_and_checkpoints(name):
    """What the builds of the full models will ask for."""
    with torch.device("meta"):
        trunk = new_trunk(FAMILIES[name].model)
    base = not name.startswith("dinov2s")
    assert (trunk.embed_dim, len(trunk.blocks)) == (768 if base else 384, 12)
    assert trunk.patch_embed.grid_size == ((37, 37) if name.startswith("dinov2") else (14, 14))
    assert trunk.num_reg_tokens == (4 if name.endswith("_reg") else 0)
    assert loftup_wanted(f"loftup_{name}", "hub").repository == f"haiwen/loftup-{name}"
    wanted = FAMILIES[name]
    assert wanted.repository.startswith("timm/")
    assert wanted.file.endswith(".safetensors")


@pytest.mark.parametrize("layout", ["timm", "meta", "open_clip"])
def test_checkpoints_of_all_three_layouts_are_read(tmp_path, layout):
    name = {"timm": "dinov2s", "meta": "dinov2s_reg", "open_clip": "siglip"}[layout]
    model = FAMILIES[name].model
    source, target = new_trunk(model, **SIZES), new_trunk(model, **SIZES)
    backbones._randomise(source)
    state = source.state_dict()
    if layout == "open_clip":
        state = {f"visual.trunk.{key}": value for key, value in state.items()} | {"text.x": torch.zeros(1)}
    if layout == "meta":  # positions of the class token apart, and a mask token
        class_position = torch.full((1, 1, 32), 0.25)
        state["pos_embed"] = torch.cat([class_position, state["pos_embed"]], dim=1)
        state["cls_token"] = state["cls_token"] - class_position
        state["register_tokens"] = state.pop("reg_token")
        state["mask_token"] = torch.zeros(1, 32)
    torch.save(state, tmp_path / "weights.pth")
    fill(target, tmp_path / "weights.pth", checkpoint_filter_fn)
    for key, value in source.state_dict().items():
        torch.testing.assert_close(target.state_dict()[key], value)


def test_the_commands_offer_every_backbone():
    assert tuple(FAMILIES) == export_cli.BACKBONES


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(new_trunk(FAMILIES["dinov2s"].model, **SIZES).state_dict(), tmp_path / "small.pth")
    other = new_trunk(FAMILIES["dinov2s"].model, **{**SIZES, "embed_dim": 48})
    with pytest.raises(WeightsError, match=r"small\.pth does not fit"):
        fill(other, tmp_path / "small.pth", checkpoint_filter_fn)


def test_a_window_that_no_patch_divides_is_refused():
    with pytest.raises(ValueError, match="not a multiple of dinov2s's patch of 14"):
        small("dinov2s", 100)


def test_a_bundle_for_features_says_what_it_is_and_is_refused_where_words_are_needed(
    features_bundle, examples, tmp_path, capsys
):
    bundle = open_any_bundle(features_bundle)
    assert isinstance(bundle.manifest, FeaturesManifest)
    manifest = bundle.manifest
    assert set(manifest.graphs) == {"backbone_image", "loftup_features"}
    assert dataclasses.astuple(manifest.backbone) == ("dinov2s_reg", 32, 14, 70)
    assert {name.partition(".")[0] for name in manifest.parity} == set(manifest.graphs)
    assert max(manifest.parity.values()) < 1e-4
    assert manifest.domain == "random"
    assert main(["inspect", str(features_bundle)]) == 0
    assert "backbone_image" in capsys.readouterr().out
    run = ["run", str(examples / "chelsea.jpg"), "--vocabulary", "cat", "--output", str(tmp_path / "out")]
    assert main([*run, "--bundle", str(features_bundle)]) == 2
    assert "such a bundle has no words; `wordmask features` takes it" in capsys.readouterr().err


def test_parity_notices_a_loftup_of_other_weights(features_bundle):
    bundle = open_any_bundle(features_bundle)
    models = small("dinov2s_reg", 70)
    last = models.loftup.upsampler.final_conv[1]
    last.weight.data[0] *= 1.5
    parity = FeatureParity(bundle.folder, bundle.manifest, models)
    assert not all(figure.ok for figure in parity.figures("loftup_features"))
    assert all(figure.ok for figure in parity.figures("backbone_image"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backbone", "dinov2s", "--sam2", "sam2.1_hiera_tiny"], "--sam2: only for --backbone clip"),
        (["--backbone", "siglip", "--window", "100", "--weights", "random:0"], "100 is not a multiple"),
        (["--backbone-weights", "x.pth"], "use --clip-weights"),
    ],
    ids=["option-of-clip", "window", "weights"],
)
def test_options_that_do_not_go_together_are_refused(monkeypatch, capsys, tmp_path, options, message):
    monkeypatch.setattr(backbones, "new_trunk", lambda model, **sizes: new_trunk(model, **SIZES))
    assert main(["build", str(tmp_path / "out"), *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_features_of_a_photo_equal_pytorchs(features_bundle, examples):
    """From pixels to upsampled features: timm's trunk, then the published LoftUp in double precision."""
    photo = np.asarray(Image.open(examples / "chelsea.jpg"))
    found = Featurizer(features_bundle, threads=1)(photo, size=(60, 84), dtype="float32")
    models = small("dinov2s_reg", 70)
    square = torch.from_numpy(np.asarray(Image.fromarray(photo).resize((70, 70), Image.Resampling.BILINEAR)).copy())
    low = backbones.BackboneImage(models.trunk)(square[None])
    guidance = torch.from_numpy(np.asarray(Image.fromarray(photo).resize((84, 60), Image.Resampling.BILINEAR)).copy())
    high = models.loftup.double()(low.double(), guidance.permute(2, 0, 1)[None])[0]
    np.testing.assert_allclose(found.low, low[0], atol=1e-4)
    np.testing.assert_allclose(found.high, high, atol=2e-3)


def test_the_features_command_takes_the_bundle_of_the_backbone_asked_for(features_bundle, examples, tmp_path, capsys):
    photo, out = str(examples / "chelsea.jpg"), tmp_path / "f.npz"
    assert main(["features", photo, "--bundle", str(features_bundle), "--output", str(out), "--size", "28"]) == 0
    assert np.load(out)["features"].shape == (32, 28, 28)
    assert "random weights" in capsys.readouterr().err


def test_a_bundle_of_another_backbone_is_not_taken_for_it(monkeypatch, features_bundle, examples, tmp_path, capsys):
    (tmp_path / "dinov2b").symlink_to(features_bundle)
    monkeypatch.setenv("WORDMASK_MODELS", str(tmp_path))
    arguments = ["features", str(examples / "chelsea.jpg"), "--output", str(tmp_path / "out"), "--backbone", "dinov2b"]
    assert main(arguments) == 2
    assert "is a bundle of dinov2s_reg, not of dinov2b" in capsys.readouterr().err
