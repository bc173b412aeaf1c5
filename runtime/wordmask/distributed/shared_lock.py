"""Lets photos be worked on side by side, and some of them alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Condition


class Gate:
    """Any number of threads inside together, or one alone; who wants to be alone keeps newcomers out."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._inside = 0
        self._alone = False

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Beside others."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """With nobody else inside."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True  # nobody else comes in
            self._changed.wait_for(lambda: self._inside == 0)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()
