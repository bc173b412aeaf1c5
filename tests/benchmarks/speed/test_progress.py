"""What `wordmask bench` says before and while it measures."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from wordmask.cli.main import main
from wordmask_bench.machine.timing import Effort
from wordmask_bench.speed.progress import Progress, busy, seconds, steps

PLAN = SimpleNamespace(
    sides={"wordmask cpu": None, "eager": None},
    photos=(1, 2, 3),
    limit=2,
    windows=("one", "default"),
    stages=("clip", "masks"),
    batches=(1, 8),
    effort=Effort(warm_up=0.5, runs=10, seconds=3.0),
)
FIRST = {"wordmask cpu": 0.1, "eager": 1.0}


def test_the_steps_are_those_of_the_plan_in_their_order():
    measured = ["photo", "photo", "folder", "folder"]
    assert steps(PLAN) == [
        "check", "words", "start", "start", *measured, *measured, *["agreement"] * 4, *["stage"] * 3, "rate"
    ]  # fmt: skip
    assert "folder" not in steps(SimpleNamespace(**{**vars(PLAN), "photos": (1,)}))


def test_a_step_is_expected_to_take_its_runs_or_its_seconds_whichever_is_longer():
    assert seconds("photo", PLAN, FIRST) == pytest.approx((3 + 0.5) + (10 + 1))
    assert seconds("folder", PLAN, FIRST) == pytest.approx(3 * 1.1 / 2)
    assert seconds("stage", PLAN, FIRST) == pytest.approx(6)


def test_the_time_left_is_known_from_the_first_photos_on_and_follows_what_was_measured():
    said, now = [], 0.0
    progress = Progress(PLAN, said.append, clock=lambda: now)
    for text in ("check", "words", "wordmask cpu: cold start", "eager: cold start"):
        progress.begin(text)
    assert said == ["[1/20] check", "[2/20] words", "[3/20] wordmask cpu: cold start", "[4/20] eager: cold start"]
    progress.first_photo |= FIRST
    progress.begin("a.png")
    left = sum(seconds(step, PLAN, FIRST) for step in steps(PLAN)[4:])
    assert left == pytest.approx(4 * 14.5 + 4 * 1.65 + 4 * 1.1 + 3 * 6 + 1.1)
    assert said[4] == "[5/20] a.png, 0:01:28 left"
    now = 29.0  # twice as long as expected
    progress.begin("b.png")
    assert said[5] == "[6/20] b.png, 0:02:27 left"


def test_a_busy_machine_is_warned_of(monkeypatch):
    monkeypatch.setattr("wordmask_bench.speed.progress.processors", lambda: 4)
    monkeypatch.setattr(os, "getloadavg", lambda: (2.5, 0.0, 0.0))
    assert busy().startswith("WARNING: the machine is busy: 2.5 processes at work on average of the last minute, and 4")
    monkeypatch.setattr(os, "getloadavg", lambda: (0.9, 9.0, 9.0))
    assert busy() == ""


def test_where_the_load_is_not_known_nothing_is_said(monkeypatch):
    def unknown():
        raise OSError

    monkeypatch.setattr(os, "getloadavg", unknown)
    assert busy() == ""


def test_a_bundle_whose_weights_are_not_there_is_refused_before_anything_is_measured(examples, capfd):
    scene = str(examples.parent / "scenes" / "01.png")
    assert main(["bench", "--images", scene, "--bundle", "tiny"]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert "PyTorch needs the models the bundle was built from: open_clip has no model 'tiny_clip'" in lines[-1]
    assert "--clip-, --loftup- and --sam2-weights" in lines[-1]
    assert [line for line in lines if line.startswith("[")] == [
        "[1/19] eager: whether PyTorch finds the bundle's models"
    ]


def test_another_stride_is_refused_because_all_sides_cut_photos_as_the_bundle_says(examples, capsys):
    scene = str(examples.parent / "scenes" / "01.png")
    assert main(["bench", "--images", scene, "--bundle", "tiny", "--options", "stride=64"]) == 2
    assert "wordmask: --options stride: all sides cut photos as the bundle says" in capsys.readouterr().err
