"""`wordmask build`: which SAM2 it takes where none is named."""

from __future__ import annotations

import pytest

from wordmask.cli.build import LARGE, SMALLEST, sam2_for
from wordmask.cli.main import main


@pytest.fixture
def built(monkeypatch):
    """Takes the choices of models that would be built."""
    module = pytest.importorskip("wordmask_export.build")
    choices = []
    monkeypatch.setattr(module, "build", lambda out, choice, protocol, **settings: choices.append(choice))
    return choices


GIB = 2**30


def machine(monkeypatch, *, gpu, cores, memory=16 * GIB):
    monkeypatch.setattr("wordmask.cli.doctor.has_nvidia_gpu", lambda: gpu)
    monkeypatch.setattr("wordmask.system.limits.processors", lambda: cores)
    monkeypatch.setattr("wordmask.system.limits.memory", lambda: memory)


@pytest.mark.parametrize(
    ("gpu", "cores", "memory", "chosen"),
    [(True, 2, 16, LARGE), (True, 16, 8, SMALLEST), (False, 7, 16, SMALLEST), (False, 8, 16, LARGE)],
    ids=["gpu", "little memory", "laptop", "workstation"],
)
def test_the_default_sam2_is_one_that_the_machine_bears_and_is_said(
    monkeypatch, built, capsys, gpu, cores, memory, chosen
):
    machine(monkeypatch, gpu=gpu, cores=cores, memory=memory * GIB)
    assert main(["build", "out"]) == 0
    assert built[0].sam2 == chosen
    assert f"--sam2 auto is {chosen}: " in capsys.readouterr().err


def test_the_reason_says_what_the_other_would_cost_and_how_to_have_it():
    _, slow = sam2_for(gpu=False, cores=2, memory=16 * GIB)
    assert "about 4 s a photo on 2 cores without an NVIDIA GPU" in slow
    assert "about 22 s" in slow
    _, small = sam2_for(gpu=True, cores=2, memory=7 * GIB)
    assert "this machine has 7.0 GiB" in small
    assert all(f"--sam2 {LARGE}" in reason for reason in (slow, small))


def test_a_sam2_that_is_named_is_taken_and_nothing_said(monkeypatch, built, capsys):
    machine(monkeypatch, gpu=False, cores=2)
    assert main(["build", "out", "--sam2", LARGE]) == 0
    assert built[0].sam2 == LARGE
    assert "--sam2 auto" not in capsys.readouterr().err


def test_a_file_of_weights_names_its_model(monkeypatch, built, capsys):
    assert main(["build", "out", "--sam2-weights", "weights/sam2_hiera_base_plus.pt"]) == 0
    assert built[0].sam2 == "sam2_hiera_base_plus"
    assert main(["build", "out", "--sam2-weights", "best.pt"]) == 2
    assert "name it with --sam2" in capsys.readouterr().err
