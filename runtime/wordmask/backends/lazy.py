"""A graph that is loaded when it first runs.

The text tower is a quarter of a bundle, and words that are cached do not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from threading import Lock

from wordmask.backends import Graph, Value, Values


class LazyGraph:
    """Loads a graph once, at the first use, from whichever thread. Errors of loading come then."""

    def __init__(self, load: Callable[[], Graph]) -> None:
        """Args: load makes the graph."""
        self._load = load
        self._graph: Graph | None = None
        self._cancelled = False
        self._lock = Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether it has been used."""
        return self._graph is not None

    @property
    def preferred_batch_size(self) -> int | None:
        """See wordmask.backends.Graph."""
        return self._loaded().preferred_batch_size

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """See wordmask.backends.Graph."""
        return self._loaded().run(inputs, keep)

    def cancel(self) -> None:
        """See wordmask.backends.Graph. Does not wait for a graph that is being loaded: it ends when that is done."""
        self._cancelled = True
        if self._graph is not None:
            self._graph.cancel()

    def _loaded(self) -> Graph:
        with self._lock:
            if self._graph is None:
                self._graph = self._load()
        if self._cancelled:
            self._graph.cancel()
        return self._graph
