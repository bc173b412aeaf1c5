"""Counts which photos and bundle loads worker processes died at.

Ray restarts a dead worker and repeats its task. Without these counts it would do so forever at a photo that crashes
every process.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_CONSECUTIVE_CRASHES = 10  # per worker, with no photo finished in between
MAX_CONSECUTIVE_LOADS = 3  # of the bundle per worker, with none finished in between


class CrashCounts:
    """Runs as an actor in a process of its own on the driver's machine."""

    def __init__(self, workers: int) -> None:
        """Args: workers is the number of worker processes."""
        self._workers = workers
        self._under_way: set[str] = set()
        self._deaths: dict[str, int] = {}
        self._crashes = self._loads = 0

    def begin_load(self) -> bool:
        """Counts a worker that begins to load the bundle; False if too many died at it."""
        self._loads += 1
        return self._loads <= MAX_CONSECUTIVE_LOADS * self._workers

    def end_load(self) -> None:
        """A worker has loaded the bundle."""
        self._loads = 0

    def assign(self, names: Sequence[str], earlier: Sequence[int]) -> list[int] | None:
        """A worker has received a task, perhaps one at which another died.

        Args:
            names: of the photos.
            earlier: how many processes died at work on each, before this run.

        Returns:
            How many died by now; None if workers die without finishing anything.
        """
        for name, before in zip(names, earlier, strict=True):
            if name in self._under_way:
                self._under_way.remove(name)
                self._deaths[name] = self._deaths.get(name, before) + 1
                self._crashes += 1
        if self._crashes >= MAX_CONSECUTIVE_CRASHES * self._workers:
            return None
        return [self._deaths.get(name, before) for name, before in zip(names, earlier, strict=True)]

    def begin(self, name: str) -> None:
        """A worker begins to process a photo."""
        self._under_way.add(name)

    def end(self, name: str) -> None:
        """The photo has an outcome."""
        self._under_way.discard(name)
        self._crashes = 0
