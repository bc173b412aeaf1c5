"""Starts Python processes for a part of a measurement, and kills them with their children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

Stream = int | IO[bytes] | None


def start_module(
    command: list[str],
    environment: dict[str, str],
    cache: Path,
    *,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream = None,
) -> subprocess.Popen[bytes]:
    """Starts `python -m` with a command in a new session, so that Ctrl-C in the terminal does not reach it.

    The environment is added to this process's; the cache becomes its WORDMASK_CACHE.
    """
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**os.environ, **environment, "WORDMASK_CACHE": str(cache)},
        start_new_session=True,
    )


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kills a process of start_module and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
