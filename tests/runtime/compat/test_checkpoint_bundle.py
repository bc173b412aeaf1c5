"""A SAM2 checkpoint becomes a bundle once. Building is faked: tests/export has the real one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from wordmask.bundle.search import find_bundle
from wordmask.cli.main import main
from wordmask.compat.checkpoint_bundle import bundle_of_checkpoint
from wordmask.errors import BundleError, MissingExtraError


class WeightsError(ValueError):
    pass


@pytest.fixture
def builds(monkeypatch, tmp_path):
    """What was built: the SAM2 model and its weights. Each is the tiny bundle."""
    made = []

    def build(out, choice, protocol):
        if "broken" in choice.sam2_weights:
            raise WeightsError("does not fit SAM2Base")
        shutil.copytree(find_bundle("tiny"), out)
        made.append((choice.sam2, choice.sam2_weights))

    contents = {
        "build": {"build": build, "BuildError": RuntimeError},
        "graphs": {},
        "graphs.specs": {"Protocol": SimpleNamespace},
        "models": {},
        "models.pipeline": {"Choice": SimpleNamespace},
        "models.weights": {"WeightsError": WeightsError},
    }
    for name, names in contents.items():
        module = ModuleType(f"wordmask_export.{name}")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("wordmask.extras.BUILD", ())
    monkeypatch.setenv("WORDMASK_CACHE", str(tmp_path / "cache"))
    return made


def write(folder: Path, name: str, content: str = "weights") -> Path:
    path = folder / name
    path.write_text(content)
    return path


def test_a_checkpoint_is_built_once_and_known_by_its_content(builds, tmp_path):
    first = bundle_of_checkpoint(write(tmp_path, "sam2.1_hiera_small.pt"))
    moved = write(tmp_path, "mine.pt")
    assert bundle_of_checkpoint(moved, "configs/sam2.1/sam2.1_hiera_s.yaml") == first
    assert find_bundle(first.name) == first  # by its name too
    assert builds == [("sam2.1_hiera_small", str(tmp_path / "sam2.1_hiera_small.pt"))]
    other = bundle_of_checkpoint(write(tmp_path, "sam2.1_hiera_small.pt", "other weights"))
    assert other != first
    assert len(builds) == 2


def test_another_configuration_is_another_bundle(builds, tmp_path):
    weights, config = write(tmp_path, "sam2_hiera_large.pt"), write(tmp_path, "own.yaml", "model: 1")
    by_name, by_file = bundle_of_checkpoint(weights), bundle_of_checkpoint(weights, str(config))
    config.write_text("model: 2")
    changed = bundle_of_checkpoint(weights, str(config))
    assert len({by_name, by_file, changed}) == 3
    assert [model for model, _ in builds] == ["sam2_hiera_large", str(config), str(config)]


@pytest.mark.parametrize(
    ("config", "model"),
    [
        ("sam2_hiera_l.yaml", "sam2_hiera_large"),
        ("configs/sam2.1/sam2.1_hiera_b+.yaml", "sam2.1_hiera_base_plus"),
        ("sam2.1_hiera_t", "sam2.1_hiera_tiny"),
        ("sam2_hiera_base_plus", "sam2_hiera_base_plus"),
    ],
)
def test_configurations_go_by_the_names_that_sam2_gave_them(builds, tmp_path, config, model):
    bundle_of_checkpoint(write(tmp_path, "weights.pt"), config)
    assert [built for built, _ in builds] == [model]


def test_what_cannot_be_built_is_an_error_that_says_why(builds, tmp_path):
    with pytest.raises(BundleError, match="no such SAM2 checkpoint"):
        bundle_of_checkpoint(tmp_path / "sam2_hiera_large.pt")
    with pytest.raises(BundleError, match="does not tell which SAM2 it is"):
        bundle_of_checkpoint(write(tmp_path, "weights.pt"))
    with pytest.raises(BundleError, match="neither a file nor one of sam2's configurations"):
        bundle_of_checkpoint(write(tmp_path, "weights.pt"), "sam3.yaml")
    with pytest.raises(BundleError, match=r"broken\.pt: does not fit SAM2Base"):
        bundle_of_checkpoint(write(tmp_path, "broken.pt"), "sam2_hiera_l.yaml")


def test_only_the_first_time_needs_the_export_extra(builds, tmp_path, monkeypatch):
    known = write(tmp_path, "sam2_hiera_large.pt")
    bundle_of_checkpoint(known)
    monkeypatch.setattr("wordmask.extras.BUILD", ("a_package_that_is_not_there",))
    bundle_of_checkpoint(known)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[export\]'"):
        bundle_of_checkpoint(write(tmp_path, "sam2_hiera_small.pt", "new"))


def test_run_takes_a_checkpoint(builds, tmp_path, examples, capsys):
    scene = str(examples.parent / "scenes" / "04.png")
    checkpoint = str(write(tmp_path, "sam2_hiera_large.pt"))
    words = ["--vocabulary", "red dotted", "green striped", "--background", "none"]
    status = main(["run", scene, *words, "--checkpoint", checkpoint, "--no-loftup", "--output", str(tmp_path / "out")])
    assert status == 0
    assert len(builds) == 1
    assert "1 of 1 photos" in capsys.readouterr().out
