"""One run at a time for an output folder."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from wordmask.errors import OutputError, ResumeError
from wordmask.system.locks import FileLock

NAME = ".lock"
LOCK_TIMEOUT = 2.0  # seconds for a run that was just killed to exit


@contextlib.contextmanager
def run_lock(out: Path) -> Iterator[None]:
    """Makes the output folder and locks it, until the process ends.

    Raises:
        ResumeError: another run holds it.
        OutputError: it cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / NAME)
    except OSError as error:
        reason = "it is a file, give a folder" if out.is_file() else error.strerror
        raise OutputError(f"cannot write to {out}: {reason}") from error
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _take(lock, out):
            if time.monotonic() > deadline:
                found = f"another run ({lock.holder()}) writes to {out}: wait for its end or give another --output"
                gone = f"; if it is gone, remove {lock.lock_file}" if lock.lock_file else ""
                raise ResumeError(found + gone)
            time.sleep(0.05)
        yield
    finally:
        lock.close()


def _take(lock: FileLock, out: Path) -> bool:
    try:
        return lock.take()
    except OSError as error:
        raise OutputError(f"cannot lock {out / NAME}: {error.strerror}") from error
