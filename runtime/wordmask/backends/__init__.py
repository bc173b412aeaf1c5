"""What a stage needs of whoever runs the graphs. Tensors are fed and read by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any, Protocol, overload

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
    def rows(self) -> int | None:
        """Rows of a batch that one run takes best; None if the caller may choose."""
        ...

    @overload
    def run(self, inputs: Values) -> dict[str, NDArray[Any]]: ...

    @overload
    def run(self, inputs: Values, keep: Collection[str]) -> dict[str, Value]: ...

    def run(self, inputs: Values, keep: Collection[str] = ()) -> Mapping[str, Value]:
        """Computes all outputs. May be called from any thread.

        Args:
            inputs: arrays, or what a graph of any backend kept; what this graph's own device holds is not copied to
                the host.
            keep: outputs to leave on the device. A backend without one returns arrays all the same.

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


def check_finite(graph: str, outputs: Values) -> None:
    """Raises NumericError if an array among the outputs holds NaN or infinity."""
    for name, value in outputs.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and not math.isfinite(value.sum(dtype=np.float64)):
            raise NumericError(f"{graph}: the output {name!r} holds NaN or infinity")
