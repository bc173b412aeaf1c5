"""The journal of a run into an object store: written on this machine and copied to the store every few seconds."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from wordmask.outputs.layout import JOURNAL
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.photo.job import stamp
from wordmask.system.files import write_bytes

MIN_INTERVAL = 5.0  # seconds between copies
INTERVAL_PER_COPY = 20  # a copy that takes 1 s is repeated after 20 s: a long journal is copied less often


class Mirror:
    """Keeps the copy up to date."""

    def __init__(self, out: RemoteFolder, journal: Path) -> None:
        """Args: journal is the file on this machine."""
        self.out, self.journal = out, journal
        self._copied = stamp(journal)
        self._next = time.monotonic() + MIN_INTERVAL

    def touch(self) -> None:
        """Copies the journal if the interval has passed."""
        begin = time.monotonic()
        if begin >= self._next:
            self.copy()
            end = time.monotonic()
            self._next = end + max(MIN_INTERVAL, INTERVAL_PER_COPY * (end - begin))

    def copy(self) -> None:
        """Copies the journal if it has changed.

        Raises:
            OutputError: it cannot be copied.
        """
        now = stamp(self.journal)
        if now is not None and now != self._copied:
            self.out.upload(JOURNAL, self.journal)
            self._copied = now


@contextlib.contextmanager
def mirrored(out: RemoteFolder) -> Iterator[Mirror]:
    """Begins with the journal at the URL, whatever is left on this machine, and ends with a last copy.

    Raises:
        OutputError: the journal cannot be read or written there.
    """
    journal = out.home / JOURNAL
    journal.unlink(missing_ok=True)
    if out.inventory([""])(JOURNAL):
        write_bytes(journal, next(out.read([JOURNAL])))
    mirror = Mirror(out, journal)
    try:
        yield mirror
    finally:
        mirror.copy()
