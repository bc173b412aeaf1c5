"""Remembers which photos and bundles the workers have begun and not finished: what a worker's death was about.

Ray starts a dead worker again and repeats its task. This alone would go on for ever at a photo that ends every process.
"""

from __future__ import annotations

from collections.abc import Sequence

HOPELESS = 10  # deaths a worker in a row, with no photo finished in between
LOADS = 3  # of the bundle a worker in a row, of which none ended


class Ledger:
    """Lives in a process of its own on the driver's machine."""

    def __init__(self, workers: int) -> None:
        """Args: workers is how many there are."""
        self._workers = workers
        self._under_way: set[str] = set()
        self._deaths: dict[str, int] = {}
        self._in_a_row = self._loads = 0

    def load(self) -> bool:
        """A worker is about to load the bundle; False if too many began to and did not live to say so."""
        self._loads += 1
        return self._loads <= LOADS * self._workers

    def loaded(self) -> None:
        """It has."""
        self._loads = 0

    def take(self, names: Sequence[str], earlier: Sequence[int]) -> list[int] | None:
        """A worker has got a task, perhaps one that another died at.

        Args:
            names: of the photos.
            earlier: how often a process died at work on each, before this run.

        Returns:
            How often it has by now; None if workers die without finishing anything.
        """
        for name, before in zip(names, earlier, strict=True):
            if name in self._under_way:
                self._under_way.remove(name)
                self._deaths[name] = self._deaths.get(name, before) + 1
                self._in_a_row += 1
        if self._in_a_row >= HOPELESS * self._workers:
            return None
        return [self._deaths.get(name, before) for name, before in zip(names, earlier, strict=True)]

    def begin(self, name: str) -> None:
        """A photo is about to be worked on."""
        self._under_way.add(name)

    def end(self, name: str) -> None:
        """It is done, or turned out to be of no use."""
        self._under_way.discard(name)
        self._in_a_row = 0
