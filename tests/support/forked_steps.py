"""Steps of the check of a GPU in processes forked from one that has torch loaded: loading takes most of a short step.

What a step computes, writes and says is that of a process of its own. Steps are ended by nobody but themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from wordmask_bench.gpu_check.step_process import Running

SERVER = """
import json, os, pathlib, sys
import onnx, open_clip, sam2.build_sam, torch
from wordmask_bench.gpu_check import __main__ as check
from wordmask_bench.gpu_check import folder, full_models, photo

def run(log, cache, arguments):
    os.setsid()
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.dup2(1, 2)
    os.environ["WORDMASK_CACHE"] = cache
    return check.main(arguments)

def forked(work, *arguments):
    process = os.fork()
    if not process:
        code = 1
        try:
            code = work(*arguments)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stdout.flush()
            os._exit(code)
    return process

def watch(log, cache, status, arguments):
    step = forked(run, log, cache, arguments)
    print(step, flush=True)
    code = os.waitstatus_to_exitcode(os.waitpid(step, 0)[1])
    new = pathlib.Path(status + ".new")
    new.write_text(str(code))
    new.rename(status)
    return 0

for line in sys.stdin:
    forked(watch, *json.loads(line))
"""


@dataclass
class Step:
    """As much of a Popen as a step's end needs; `status` is a file that holds the exit status once there is one."""

    pid: int
    status: Path
    returncode: int | None = None

    def wait(self, timeout: float = 600.0) -> int:
        """The exit status."""
        end = time.monotonic() + timeout
        while not self.status.exists():
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("step", timeout)
            time.sleep(0.02)
        self.returncode = int(self.status.read_text())
        return self.returncode


@contextmanager
def forking(environment: dict[str, str]) -> Iterator:
    """Gives what takes the place of step_process.start; `environment` is added to this process's."""
    command = [sys.executable, "-c", SERVER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env={**os.environ, "CUDA_VISIBLE_DEVICES": "", **environment}, **pipes) as server:

        def start(name: str, arguments: list[str], out: Path, limit: float, *, hide_gpu: bool) -> Running:
            folder = out / "steps"
            folder.mkdir(parents=True, exist_ok=True)
            result, log, status = (folder / f"{name}.{ending}" for ending in ("json", "log", "status"))
            for path in (result, status):
                path.unlink(missing_ok=True)
            told = [str(log), str(out / "work" / "cache" / name), str(status), [*arguments, "--step", name]]
            server.stdin.write(json.dumps(told) + "\n")
            server.stdin.flush()
            now = time.monotonic()
            return Running(name, Step(int(server.stdout.readline()), status), now, now + limit, result, log)

        yield start
        server.stdin.close()
