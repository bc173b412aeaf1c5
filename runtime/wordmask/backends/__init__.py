"""What a stage needs of whoever runs the graphs. Tensors are fed and read by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


class Graph(Protocol):
    """One loaded graph."""

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Computes all outputs. May be called from any thread.

        Raises:
            NumericError: an output holds NaN or infinity.
        """
        ...

    def cancel(self) -> None:
        """Makes runs under way, and later ones, end with an error soon."""
        ...
