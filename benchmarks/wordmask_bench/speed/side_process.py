"""Starts the process of a side and exchanges commands and answers with it."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wordmask.errors import WordmaskError
from wordmask_bench.machine.child_process import kill_session, start_module


class BenchError(WordmaskError, RuntimeError):
    """A side of the benchmark failed; the message names the side."""


class SideProcess:
    """A process of speed.side_worker with pipes to it."""

    def __init__(self, name: str, threads: int, cache: Path) -> None:
        """Starts the process.

        Args:
            name: of the side, for messages.
            threads: cores it may use.
            cache: folder for embeddings of words.
        """
        self.name = name
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
        command = ["wordmask_bench.speed.side_worker", str(threads)]
        self.process = start_module(command, counts, cache, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Sends a command and waits for its answer.

        Raises:
            BenchError: the command failed, or the process has ended.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # then there is no answer
        line = self.process.stdout.readline()
        if not line:
            raise BenchError(f"{self.name}: its process ended with status {self.process.wait()} at {command!r}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"{self.name}: {command!r} failed: {answer['error']}")
        return answer

    def close(self) -> None:
        """Kills the process and its children."""
        kill_session(self.process)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@contextlib.contextmanager
def closing_all() -> Iterator[list[SideProcess]]:
    """Gives an empty list; the processes put into it are killed on exit."""
    processes: list[SideProcess] = []
    try:
        yield processes
    finally:
        for process in processes:
            process.close()
