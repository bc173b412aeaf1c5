"""One run at a time for an output folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from wordmask.errors import OutputError, ResumeError

NAME = ".lock"
LOCK_TIMEOUT = 2.0  # seconds for a run that was just killed to exit


@contextlib.contextmanager
def run_lock(out: Path) -> Iterator[None]:
    """Makes the output folder and locks it; the system releases the lock when the process ends, however it ends.

    Raises:
        ResumeError: another run holds it.
        OutputError: it cannot be made or written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = (out / NAME).open("a+b", buffering=0)
    except OSError as error:
        reason = "it is a file, give a folder" if out.is_file() else error.strerror
        raise OutputError(f"cannot write to {out}: {reason}") from error
    with file:
        deadline = time.monotonic() + LOCK_TIMEOUT
        while not _take(file, out):
            if time.monotonic() > deadline:
                file.seek(0)
                holder = file.read(200).decode(errors="replace").strip() or "unknown"
                raise ResumeError(f"another run ({holder}) writes to {out}: wait for its end or give another --output")
            time.sleep(0.05)
        with contextlib.suppress(OSError):  # whose it is matters to the message alone
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
        with contextlib.suppress(OSError):
            file.truncate(0)


def _take(file: BinaryIO, out: Path) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            raise OutputError(f"cannot lock {out / NAME}: {error.strerror}") from error
        return False
    return True
