"""The training loop of all three stages: schedule, log, checkpoints, and resuming from them."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from wordmask_export.models.messages import log

Optimisers = list[torch.optim.Optimizer]
REPORT_EVERY, SAVE_EVERY = 20, 60.0  # steps; seconds


@dataclass(frozen=True)
class Schedule:
    """A learning rate with warm-up and a cosine decay to zero.

    Attributes:
        steps: total number.
        rate: highest learning rate.
        warmup: steps of the warm-up.
        decay: weight decay of matrices.
        first: step to begin with, for a training that goes on from the weights of another.
    """

    steps: int
    rate: float
    warmup: int = 60
    decay: float = 0.05
    first: int = 0

    def at(self, step: int) -> float:
        """The learning rate of a step."""
        rising = min(1.0, (step - self.first + 1) / self.warmup)
        return self.rate * rising * 0.5 * (1 + math.cos(math.pi * min(step / self.steps, 1.0)))


class Stage(Protocol):
    """One training. All randomness in a step is determined by its number."""

    name: str
    stream: Any  # an ahead.Stream, which may be replaced by one that worker processes serve
    hidden: tuple[str, ...]  # parts of the names of matrices that Muon optimises; AdamW optimises the rest

    @property
    def module(self) -> nn.Module:
        """The trained module."""

    def loss(self, step: int) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The loss, and figures to report."""

    def weights(self) -> dict[str, Tensor]:
        """The state dict that `build` reads."""

    def start(self, weights: dict[str, Tensor]) -> None:
        """Starts from the weights of another training."""


def train(
    stage: Stage,
    schedule: Schedule,
    folder: Path,
    *,
    seconds: float = math.inf,
    report: Callable[[str], None] = log,
) -> bool:
    """Trains a stage, from its checkpoint in the folder if there is one.

    Args:
        stage: to train.
        schedule: of the learning rate.
        folder: gets NAME.checkpoint, NAME.log and NAME.pt, which has the weights.
        seconds: stops after this time; another call continues.
        report: takes messages about the progress.

    Returns:
        Whether the training is finished.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimisers = _optimisers(stage, schedule)
    step, spent = _resume(stage, optimisers, folder) or (schedule.first, 0.0)
    started = saved = time.monotonic()
    sums, summed = dict[str, float | Tensor](), 0  # tensors stay on the device until a report
    while step < schedule.steps and time.monotonic() - started < seconds:
        figures = _step(stage, optimisers, schedule, step)
        step, summed = step + 1, summed + 1
        for name, value in figures.items():
            sums[name] = sums.get(name, 0.0) + value
        if step % REPORT_EVERY == 0 or step == schedule.steps:
            total = spent + time.monotonic() - started
            shown = " ".join(f"{name} {float(value) / summed:.4f}" for name, value in sums.items())
            line = f"{stage.name} {step}/{schedule.steps} {total:.0f} s {shown}"
            report(line)
            with (folder / f"{stage.name}.log").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
            sums, summed = {}, 0
        if time.monotonic() - saved > SAVE_EVERY:
            saved = time.monotonic()
            _save(stage, optimisers, folder, step, spent + saved - started)
    _save(stage, optimisers, folder, step, spent + time.monotonic() - started)
    return step >= schedule.steps


def _step(stage: Stage, optimisers: Optimisers, schedule: Schedule, step: int) -> dict[str, float | Tensor]:
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
        for group in optimiser.param_groups:
            group["lr"] = schedule.at(step)
    # On a CPU the backward pass of the fused attention is slow for short sequences.
    on_cpu = next(stage.module.parameters()).device.type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if on_cpu else contextlib.nullcontext():
        loss, figures = stage.loss(step)
        loss.backward()
    nn.utils.clip_grad_norm_(stage.module.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
    return {"loss": loss.detach(), **figures}


def _optimisers(stage: Stage, schedule: Schedule) -> Optimisers:
    trained = {name: value for name, value in stage.module.named_parameters() if value.requires_grad}
    hidden = [n for n, p in trained.items() if p.ndim == 2 and any(part in n for part in stage.hidden)]
    rest = [p for n, p in trained.items() if n not in set(hidden)]
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": schedule.decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    found: Optimisers = [torch.optim.AdamW(groups, lr=schedule.rate, betas=(0.9, 0.98))]
    if hidden:
        matrices = [trained[name] for name in hidden]
        muon = torch.optim.Muon(matrices, lr=schedule.rate, weight_decay=schedule.decay, adjust_lr_fn="match_rms_adamw")
        found.append(muon)
    return found


def _resume(stage: Stage, optimisers: Optimisers, folder: Path) -> tuple[int, float] | None:
    path = folder / f"{stage.name}.checkpoint"
    if not path.is_file():
        return None
    state = torch.load(path, "cpu", weights_only=True)
    stage.module.load_state_dict(state["module"])
    for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(saved)
    return int(state["step"]), float(state["seconds"])


def _save(stage: Stage, optimisers: Optimisers, folder: Path, step: int, seconds: float) -> None:
    state = {
        "module": stage.module.state_dict(),
        "optimisers": [optimiser.state_dict() for optimiser in optimisers],
        "step": step,
        "seconds": seconds,
    }
    for name, value in ((f"{stage.name}.checkpoint", state), (f"{stage.name}.pt", stage.weights())):
        part = folder / f"{name}.part"
        torch.save(value, part)
        os.replace(part, folder / name)  # noqa: PTH105
