"""Upsampled features, their picture, and the command that writes both; with the shipped bundle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from photos import picture_size
from wordmask.cli.main import main
from wordmask.dense.loftup import window_inputs
from wordmask.featurizer import Featurizer, resize
from wordmask.formats.feature_picture import CAPTION, GAP, principal, sampled, side_by_side
from wordmask.photo.reading import decode


@pytest.fixture(scope="module")
def featurizer():
    return Featurizer("tiny", threads=1)


@pytest.fixture(scope="module")
def scene(examples):
    return decode(examples.parent / "scenes" / "02.png")


@pytest.mark.parametrize("size", [(128, 128), (90, 150)], ids=["window", "other"])
def test_tiles_give_what_the_graph_gives_for_the_whole_photo_at_once(featurizer, scene, size):
    found = featurizer(scene, size=size, dtype="float32")
    np.testing.assert_array_equal(found.photo, resize(scene, size))
    inputs = window_inputs(found.photo[None], (8, 8), featurizer._loftup.constants)
    (expected,) = featurizer._loftup.graph.run({**inputs, "features": found.low[None]})["features_out"]
    np.testing.assert_allclose(found.high, expected, atol=1e-4)  # of deviation 1


def test_odd_sizes_and_half_precision_are_possible(featurizer, scene):
    """Sides of tiles are even: what is beyond the photo is cut off."""
    maps = featurizer(scene, size=(33, 129))
    assert (maps.high.shape, maps.high.dtype) == ((48, 33, 129), np.float16)
    exact = featurizer(scene, size=(33, 129), dtype="float32").high
    np.testing.assert_allclose(maps.high, exact, atol=5e-3)
    assert exact.std() > 0.3


def test_in_windows_a_photo_of_one_window_gives_the_same(featurizer, scene):
    photo = resize(scene, (128, 128))
    alone, windows = featurizer(photo, dtype="float32"), featurizer.in_windows(photo, 128, dtype="float32")
    np.testing.assert_allclose(windows.low, alone.low, atol=1e-5)
    np.testing.assert_allclose(windows.high, alone.high, atol=1e-3)


def test_in_windows_a_photo_keeps_its_proportions_and_gets_more_patches(featurizer, scene):
    maps = featurizer.in_windows(scene, 160)
    assert maps.photo.shape == (160, 213, 3)
    assert maps.low.shape == (48, 10, 14)
    assert maps.high.shape == (48, 160, 213)


def test_upsampled_features_follow_outlines(featurizer, scene):
    """Inside an object they are like its mean, across its outline they are not, within one patch of the encoder."""
    high = featurizer(scene, size=(288, 384), dtype="float32").high
    centred = high - high.mean((1, 2), keepdims=True)
    row = centred[:, 70, 110:170]  # across the left outline of the orange moon, at 126
    mean = centred[:, 60:80, 130:160].mean((1, 2))
    alike = mean @ row / (np.linalg.norm(mean) * np.linalg.norm(row, axis=0))
    assert np.median(alike[20:50]) > 0.75
    assert alike[20:50].min() > 0.4
    assert alike[:13].max() < 0.3


def test_principal_components_are_those_that_explain_most():
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((20, 3)))[0].astype(np.float32)
    weights = random.standard_normal((3, 500)).astype(np.float32) * np.array([[9], [3], [1]], np.float32)
    mean, components = principal(basis @ weights + 5)
    np.testing.assert_allclose(mean[:, 0], 5 + (basis @ weights).mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(np.abs(components @ basis), np.eye(3), atol=0.15)
    assert (components.max(axis=1) == np.abs(components).max(axis=1)).all()


def test_features_that_are_equal_everywhere_give_a_flat_picture():
    photo = np.zeros((8, 8, 3), np.uint8)
    picture = side_by_side(photo, np.ones((5, 2, 2), np.float32), np.ones((5, 8, 8), np.float16))
    side = 8 * 33  # enlarged to 800 pixels in all
    assert picture.shape == (CAPTION + side, 3 * side + 2 * GAP, 3)
    assert not picture[CAPTION:, side + GAP : 2 * side + GAP].any()


def test_sampling_is_torchs_bilinear_interpolation():
    torch = pytest.importorskip("torch")
    maps = np.random.default_rng(0).standard_normal((3, 30, 44)).astype(np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps)[None], size=(4, 7), mode="bilinear")[0]
    np.testing.assert_allclose(sampled(maps, (4, 7)), expected, atol=1e-5)


def test_the_picture_shows_photo_patches_and_pixels_each_in_its_own_range():
    low = np.zeros((4, 2, 2), np.float32)
    low[0, 0], low[1, :, 0], low[2, 0, 0] = 3, 2, 1
    high = low.repeat(8, axis=1).repeat(8, axis=2).astype(np.float16)
    photo = np.full((16, 16, 3), 77, np.uint8)
    picture = side_by_side(photo, low, high)
    side = 16 * 17
    assert picture.shape == (CAPTION + side, 3 * side + 2 * GAP, 3)
    assert side_by_side(photo.repeat(17, 0).repeat(17, 1), low, high.repeat(17, 1).repeat(17, 2)).shape == picture.shape
    assert (picture[CAPTION:, :side] == 77).all()
    coarse, fine = picture[CAPTION:, side + GAP : 2 * side + GAP], picture[CAPTION:, 2 * side + 2 * GAP :]
    np.testing.assert_allclose(coarse.astype(int), fine, atol=1)
    assert (coarse.min(axis=(0, 1)) == 0).all()
    assert (coarse.max(axis=(0, 1)) == 255).all()
    assert len(np.unique(coarse.reshape(-1, 3), axis=0)) == 4


def test_every_panel_has_its_caption():
    low, high = np.zeros((4, 2, 3), np.float32), np.zeros((4, 16, 24), np.float16)
    picture = side_by_side(np.zeros((16, 24, 3), np.uint8), low, high)
    width = (picture.shape[1] - 2 * GAP) // 3
    strips = [picture[:CAPTION, start : start + width] for start in range(0, 3 * width, width + GAP)]
    assert all((strip.min(axis=2) < 128).sum() > 100 for strip in strips)  # dark letters on white
    assert all((strip[:, :4] == 255).all() and (strip[:, -4:] == 255).all() for strip in strips)  # none cut off


def features(*arguments):
    return main(["features", *map(str, arguments), "--bundle", "tiny", "--threads", "1", "--size", "32"])


@pytest.mark.parametrize("name", ["f.NPZ", "f.PNG", "f.npz", "f.png"])
def test_a_file_is_known_by_its_suffix_in_any_case(examples, tmp_path, name):
    assert features(examples / "chelsea.jpg", "--output", tmp_path / name) == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    content = (tmp_path / name).read_bytes()
    assert content.startswith(b"PK\x03\x04" if name.lower().endswith("npz") else b"\x89PNG")


@pytest.mark.parametrize("name", ["f.npy", "f.jpg", "f.npz.gz", "out.v2"])
def test_another_suffix_is_refused_unless_it_is_a_folder(examples, tmp_path, name, capsys):
    assert features(examples / "chelsea.jpg", "--output", tmp_path / name) == 2
    assert "expected a name that ends in .npz or .png" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    (tmp_path / name).mkdir()
    assert features(examples / "chelsea.jpg", "--output", tmp_path / name) == 0
    assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["chelsea.npz", "chelsea.png"]


def test_a_folder_gets_features_and_picture_of_each_photo_and_bad_photos_are_told(examples, tmp_path, capsys):
    (tmp_path / "bad.jpg").write_bytes(b"no photo")
    out = tmp_path / "out"
    assert features(examples / "chelsea.jpg", tmp_path / "bad.jpg", "--output", out) == 3
    assert "bad.jpg" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["chelsea.npz", "chelsea.png"]
    with np.load(out / "chelsea.npz") as found:
        assert found["features"].shape == (48, 32, 32)
        assert found["features"].dtype == np.float16
        assert found["low_resolution"].shape == (48, 8, 8)
        expected = side_by_side(found["photo"], found["low_resolution"], found["features"])
    np.testing.assert_array_equal(np.asarray(Image.open(out / "chelsea.png")), expected)


@pytest.mark.parametrize("name", ["f.npz", "f.png"])
def test_one_photo_goes_to_one_file(examples, tmp_path, name):
    assert features(examples / "chelsea.jpg", "--output", tmp_path / name, "--dtype", "float32") == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "f.npz":
        assert np.load(tmp_path / name)["features"].dtype == np.float32
    else:
        assert picture_size(tmp_path / name) == (3 * 9 * 32 + 2 * GAP, CAPTION + 9 * 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "f.npz", "--bundle", "tiny"], "one file, for 2 photos: name a folder"),
        (["--output", "out", "--backbone", "siglip2"], "wordmask build models_cache/siglip2 --backbone siglip2"),
        (["--output", "out", "--windows", "0"], "--windows is 0"),
    ],
    ids=["two-photos", "no-bundle", "windows"],
)
def test_what_cannot_be_done_is_said(examples, tmp_path, capsys, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["features", str(examples / "chelsea.jpg"), str(examples / "coffee.jpg"), *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["0", "x", "3x", "1x2x3", "99999", "-4"])
def test_sizes_that_are_none_are_refused(examples, tmp_path, capsys, text):
    with pytest.raises(SystemExit):
        main(["features", str(examples / "chelsea.jpg"), "--output", str(tmp_path / "o"), f"--size={text}"])
    assert "is no size" in capsys.readouterr().err
