"""A least-recently-used cache with a bound on its bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

Value = TypeVar("Value")


class LruCache:
    """Keeps the values that were used last. Not thread-safe."""

    def __init__(self, most_bytes: int) -> None:
        """Args: most_bytes is the limit of all values together; the newest is kept even if it alone is larger."""
        self._most_bytes = most_bytes
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Value], size: Callable[[Value], int]) -> Value:
        """The value of a key; made, and others dropped, if it is not kept.

        Args:
            key: equal keys have equal values.
            make: makes the value; what it raises is raised, and nothing is kept.
            size: the value's bytes.
        """
        if key not in self._entries:
            made = make()
            self._entries[key] = made, size(made)
        self._entries.move_to_end(key)
        while len(self._entries) > 1 and sum(taken for _, taken in self._entries.values()) > self._most_bytes:
            self._entries.popitem(last=False)
        value: Value = self._entries[key][0]
        return value
