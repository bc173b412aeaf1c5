"""A lock that many threads hold together, or one holds alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Condition


class SharedExclusiveLock:
    """Readers-writer lock; a thread that waits for exclusive access keeps new shared holders out."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._holders = 0
        self._exclusive = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Holds the lock together with other shared holders."""
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive)
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds the lock alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._exclusive)
            self._exclusive = True  # no new holders
            self._changed.wait_for(lambda: self._holders == 0)
        try:
            yield
        finally:
            with self._changed:
                self._exclusive = False
                self._changed.notify_all()
