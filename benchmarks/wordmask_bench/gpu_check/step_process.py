"""Runs one step of the check in a process of its own, so that a crash or a hang costs that step alone."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wordmask_bench.gpu_check.report import Outcome, errors_in
from wordmask_bench.machine.child_process import kill_session, start_module

SKIPPED = 3  # exit status of a step that this machine cannot do
LAST_LINES, LONGEST = 12, 2000  # of a failed step's log


@dataclass(frozen=True, eq=False)
class Running:
    """A step under way."""

    name: str
    process: subprocess.Popen[bytes]
    started: float
    deadline: float
    result: Path
    log: Path


def start(name: str, arguments: list[str], out: Path, limit: float, *, hide_gpu: bool) -> Running:
    """Starts a step.

    Args:
        name: of the step.
        arguments: of the check; the step's name is added.
        out: the check's folder; the step writes its figures to steps/NAME.json there and its log beside it.
        limit: seconds it may take.
        hide_gpu: CUDA shows it no GPU.
    """
    folder = out / "steps"
    folder.mkdir(parents=True, exist_ok=True)
    result, log = folder / f"{name}.json", folder / f"{name}.log"
    result.unlink(missing_ok=True)
    environment = {"PYTHONFAULTHANDLER": "1", **({"CUDA_VISIBLE_DEVICES": ""} if hide_gpu else {})}
    command, cache = ["wordmask_bench.gpu_check", *arguments, "--step", name], out / "work" / "cache" / name
    with log.open("wb") as stream:
        process = start_module(command, environment, cache, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
    now = time.monotonic()
    return Running(name, process, now, now + limit, result, log)


def finish(running: Running, deadline: float) -> Outcome:
    """Waits for a step, at most until its deadline or the given one (time.monotonic), and says how it ended."""
    timed_out = False
    try:
        running.process.wait(max(0.0, min(running.deadline, deadline) - time.monotonic()))
    except subprocess.TimeoutExpired:
        timed_out = True
    finally:
        kill_session(running.process)
    seconds = round(time.monotonic() - running.started, 1)
    result = _read(running.result)
    if timed_out:
        return Outcome(running.name, "failed", seconds, f"stopped after {seconds:.0f} s: {_tail(running.log)}", result)
    code = running.process.returncode
    if code == SKIPPED:
        return Outcome(running.name, "skipped", seconds, str(result.pop("skipped", "")), result)
    if code < 0:
        why = f"ended by {signal.Signals(-code).name}: {_tail(running.log)}"
        return Outcome(running.name, "failed", seconds, why, result)
    if code:
        return Outcome(running.name, "failed", seconds, _tail(running.log), result)
    wrong = "; ".join(errors_in(result))[:LONGEST]
    return Outcome(running.name, "failed" if wrong else "ok", seconds, wrong, result)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-LAST_LINES:])[-LONGEST:]
