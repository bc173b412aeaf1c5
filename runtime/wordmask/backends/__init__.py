"""The interface of a loaded graph, which the stages are written against. Tensors are fed and read by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wordmask.errors import NumericError


class DeviceTensor(Protocol):
    """An output that stays on its device until a graph there reads it. Its values never change."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its elements' type."""
        ...

    def numpy(self) -> NDArray[Any]:
        """A copy in the host's memory."""
        ...


Value = NDArray[Any] | DeviceTensor
Values = Mapping[str, Value]


class Graph(Protocol):
    """One loaded graph."""

    @property
    def preferred_batch_size(self) -> int | None:
        """The batch size that one run is fastest or limited to; None if any size will do."""
        ...

    def run(self, inputs: Values, keep: Collection[str] = ()) -> dict[str, Value]:
        """Computes all outputs. May be called from any thread.

        Args:
            inputs: arrays, or tensors that a graph of any backend kept; those on this graph's device are not copied.
            keep: outputs to leave on the device; a backend without a device returns arrays.

        Returns:
            Arrays, but for what was kept: `to_host` makes an array of either.

        Raises:
            NumericError: an output that came back holds NaN or infinity.
        """
        ...

    def cancel(self) -> None:
        """Makes runs under way, and later ones, end with an error soon."""
        ...


def to_host(value: Value) -> NDArray[Any]:
    """The value as an array; copied only if it is on a device."""
    return value if isinstance(value, np.ndarray) else value.numpy()


def run_to_host(graph: Graph, inputs: Values) -> dict[str, NDArray[Any]]:
    """All outputs of a run as arrays."""
    return {name: to_host(value) for name, value in graph.run(inputs).items()}


def check_finite(graph: str, outputs: Values) -> None:
    """Raises NumericError if an array among the outputs holds NaN or infinity."""
    for name, value in outputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not math.isfinite(value.sum(dtype=np.float64)):
            raise NumericError(f"{graph}: the output {name!r} holds NaN or infinity")
