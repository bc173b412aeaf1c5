"""Supervises the process that segments photos: a photo that crashes it must not end the run.

`wordmask run` starts itself again as a worker. If the worker dies of a signal (a fault in a native library, the system
out of memory), a row is appended to the journal and a new worker continues, with the suspected photos one at a time.
The supervisor handles signals: a byte in the worker's pipe asks it to stop, end of file tells it to exit at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from wordmask.outputs.layout import JOURNAL

VARIABLE = "WORDMASK_WORKER"  # in a worker's environment: the pipe to the supervisor, and how many workers died before
# Also in a worker's environment: glibc returns large arrays to the system when they are freed. By default it raises
# that threshold to the largest array freed so far and keeps the smaller ones, and a long run grows in steps.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(1 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
SHUTDOWN_TIMEOUT = 1.7  # seconds between a signal and the end of the process
MAX_CONSECUTIVE_CRASHES = 10  # of workers, with no photo finished in between


class Interrupted(BaseException):
    """SIGINT or SIGTERM was received."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


def catch_signals() -> None:
    """SIGINT and SIGTERM raise Interrupted in the main thread; a second one ends the process at once.

    A worker ignores them: its supervisor handles them.
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


def is_restarted_worker() -> bool:
    """Whether this worker replaces one that died; it must not clear the output folder a second time."""
    return is_worker() and os.environ[VARIABLE].split()[1] != "0"


def listen_to_supervisor(stop: threading.Event) -> None:
    """In a worker: sets `stop` when the supervisor asks for it, and ends the process when the supervisor is gone."""
    pipe = int(os.environ[VARIABLE].split()[0])

    def listen() -> None:
        if os.read(pipe, 1):
            stop.set()
            os.read(pipe, 1)
        os._exit(1)

    threading.Thread(target=listen, name="supervisor", daemon=True).start()


def supervise(arguments: Sequence[str], out: Path, log: Callable[[str], None]) -> int:
    """Runs the command line in workers until one ends by itself.

    Args:
        arguments: of the command line.
        out: the run's output folder.
        log: takes a message for each worker that died.

    Returns:
        The worker's exit status.

    Raises:
        Interrupted: a signal was received; the worker has exited.
        OSError: no process can be started.
    """
    from wordmask.outputs.journal import Journal, note_death  # noqa: PLC0415

    dead = done = crashes = 0
    while True:
        process, status = _run_worker(arguments, dead)
        if status >= 0:
            return status
        name = signal.Signals(-status).name
        journal = Journal(out / JOURNAL)
        photos = [repr(photo) for photo in journal.photos_of(process).values()]
        before, done = done, sum(entry.status != "QUARANTINED" for entry in journal.finished.values())
        crashes = crashes + 1 if done == before else 1
        if not photos or crashes == MAX_CONSECUTIVE_CRASHES:
            log(f"the process died of {name}, {f'time {crashes} in a row' if photos else 'not at work on a photo'}")
            return 1
        log(f"the process died of {name} at work on {', '.join(photos)}: trying again one by one")
        note_death(out / JOURNAL, process, name)
        dead += 1


def _run_worker(arguments: Sequence[str], dead: int) -> tuple[int, int]:
    """Process number and exit status of one worker; a negative status is the signal it died of."""
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
                    worker.wait(SHUTDOWN_TIMEOUT)
                except subprocess.TimeoutExpired:
                    worker.kill()
                raise
    finally:
        os.close(reading)
        os.close(writing)
