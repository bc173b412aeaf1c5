"""A lock that one process holds: the system's lock on a file, or a lock file where a file system has no locks.

The system releases its lock when a process ends, however it ends. A lock file stays; it names the process that made it,
so that the next one on the same machine sees whether that is still there.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import secrets
import socket
from pathlib import Path

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)
_HOLDER = re.compile(r"process (\d+) on (\S+), started (\d+)")
logger = logging.getLogger(__name__)


class FileLock:
    """A lock on a file, which is made if it is missing.

    Attributes:
        lock_file: the file that holds the lock in place of the system; None where the system does.
    """

    def __init__(self, path: Path, *, mode: int = 0o666) -> None:
        """Opens the file; takes nothing yet.

        Raises:
            OSError: it cannot be made or written, or is a link.
        """
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
        self._path, self._mode, self._descriptor = path, mode, os.open(path, flags, mode)
        self.lock_file: Path | None = None
        self._held = False

    def take(self) -> bool:
        """Takes the lock unless another holds it; says whether it did.

        Raises:
            OSError: the file system refuses.
        """
        if self.lock_file is None:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                    return False
                if error.errno not in _NO_LOCKS:
                    raise
                self.lock_file = self._path.with_name(f"{self._path.name}.held")
                logger.warning(
                    "%s: no locks there (%s): %s takes their place", self._path, error.strerror, self.lock_file
                )
        self._held = self.lock_file is None or _make(self.lock_file, self._mode)
        if self._held and self.lock_file is None:
            with contextlib.suppress(OSError):  # whose it is matters to messages alone
                os.truncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{_me()}\n".encode(), 0)
        return self._held

    def holder(self) -> str:
        """Who holds it, for a message."""
        with contextlib.suppress(OSError):
            content = os.pread(self._descriptor, 200, 0) if self.lock_file is None else self.lock_file.read_bytes()
            return content.decode(errors="replace").split(",")[0].strip() or "unknown"
        return "unknown"

    def close(self) -> None:
        """Gives the lock back."""
        with contextlib.suppress(OSError):
            if self._held and self.lock_file is not None:
                self.lock_file.unlink()
            elif self._held:
                os.truncate(self._descriptor, 0)
        self._held = False
        os.close(self._descriptor)


def _make(lock_file: Path, mode: int) -> bool:
    """Makes a lock file, in place of one whose process is gone; False if another holds it."""
    for _ in range(2):
        try:
            descriptor = os.open(lock_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            if not _remove_left(lock_file):
                return False
            continue
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{_me()}\n".encode())
        return True
    return False


def _remove_left(lock_file: Path) -> bool:
    """Removes a lock file that a process of this machine left when it ended; False if it may still be held."""
    try:
        content = lock_file.read_bytes()
        found = _HOLDER.match(content.decode(errors="replace"))
        if found is None or found[2] != socket.gethostname() or _started(int(found[1])) == int(found[3]):
            return False
        aside = lock_file.with_name(f"{lock_file.name}-{secrets.token_hex(4)}")
        lock_file.rename(aside)
        if aside.read_bytes() != content:  # another process was faster, and this is its own
            aside.rename(lock_file)
            return False
        aside.unlink()
    except FileNotFoundError:  # it has just been removed
        pass
    return True


def _me() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, started {_started(os.getpid())}"


def _started(process: int) -> int:
    """When a process began, in ticks of the system: 0 where it does not tell, -1 if there is no such process."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        status = Path(f"/proc/{process}/stat").read_bytes()
        return int(status.rpartition(b")")[2].split()[19])
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return -1
    except OSError:
        pass
    return 0
