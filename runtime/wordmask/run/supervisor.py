"""Watches over the process that segments photos: a photo that ends it must not end the run.

`wordmask run` starts itself again as a worker. If the worker dies of a signal (a fault in a native library, the system
short of memory), that is noted in the journal, and a new worker goes on; the journal knows the photos to be careful
with. Signals are answered here; a byte in the worker's pipe asks it to stop, and the pipe's end tells it to go at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from wordmask.outputs.layout import JOURNAL

VARIABLE = "WORDMASK_WORKER"  # in a worker's environment: the pipe to the supervisor, and how many workers died before
# Of a worker too: glibc gives large arrays back when they are freed. Left alone it learns from the largest to keep the
# others, and a long run grows in steps.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
GRACE = 1.7  # seconds between a signal and the end of the process
HOPELESS = 10  # deaths of workers in a row, with no photo finished in between


class Interrupted(BaseException):
    """SIGINT or SIGTERM came."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def catch_signals() -> None:
    """SIGINT and SIGTERM raise Interrupted in the main thread; a second one ends the process at once.

    In a worker they are left to the supervisor.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if is_worker() else _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_DFL)
    raise Interrupted(number)


def is_worker() -> bool:
    """Whether a supervisor watches this process."""
    return VARIABLE in os.environ


def is_successor() -> bool:
    """Whether this process continues the work of one that died: what that one cleared must not be cleared again."""
    return is_worker() and os.environ[VARIABLE].split()[1] != "0"


def obey(stop: threading.Event) -> None:
    """In a worker: sets `stop` when the supervisor says so, and ends the process when the supervisor is gone."""
    pipe = int(os.environ[VARIABLE].split()[0])

    def listen() -> None:
        if os.read(pipe, 1):
            stop.set()
            os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=listen, name="obey", daemon=True).start()


def supervise(arguments: Sequence[str], out: Path) -> int:
    """Runs the command line in workers until one ends by itself.

    Args:
        arguments: of the command line.
        out: the run's output folder.

    Returns:
        The worker's exit status.

    Raises:
        Interrupted: a signal came; the worker is gone.
        OSError: no process can be started.
    """
    from wordmask.outputs.journal import Journal, note_death  # noqa: PLC0415

    dead = done = in_a_row = 0
    while True:
        process, status = _run_worker(arguments, dead)
        if status >= 0:
            return status
        name = signal.Signals(-status).name
        journal = Journal(out / JOURNAL)
        photos = [repr(photo) for photo in journal.photos_of(process).values()]
        before, done = done, sum(entry.status != "QUARANTINED" for entry in journal.finished.values())
        in_a_row = in_a_row + 1 if done == before else 1
        if not photos or in_a_row == HOPELESS:
            _say(f"the process died of {name}, {f'time {in_a_row} in a row' if photos else 'not at work on a photo'}")
            return 1
        _say(f"the process died of {name} at work on {', '.join(photos)}: trying again one by one")
        note_death(out / JOURNAL, process, name)
        dead += 1


def _say(text: str) -> None:
    sys.stderr.write(f"wordmask: {text}\n")
    sys.stderr.flush()


def _run_worker(arguments: Sequence[str], dead: int) -> tuple[int, int]:
    """Number and exit status of one worker; a negative status is the signal it died of."""
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-P", "-m", "wordmask", *arguments]
        environment = {**MALLOC, **os.environ, VARIABLE: f"{reading} {dead}"}
        with subprocess.Popen(command, env=environment, pass_fds=[reading]) as worker:
            try:
                return worker.pid, worker.wait()
            except Interrupted:
                os.write(writing, b"s")
                try:
                    worker.wait(GRACE)
                except subprocess.TimeoutExpired:
                    worker.kill()
                raise
    finally:
        os.close(reading)
        os.close(writing)
