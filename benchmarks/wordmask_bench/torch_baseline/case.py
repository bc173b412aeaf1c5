"""A stage's inputs and expected outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Case:
    """One graph's inputs, and the outputs of ONNX Runtime on the CPU for each row alone.

    Attributes:
        batched: names of the inputs that have one row per item; the other inputs are shared by all rows.
    """

    inputs: Arrays
    expected: Arrays
    batched: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of items in the batch."""
        return len(self.inputs[self.batched[0]])

    def take(self, rows: int) -> Case:
        """A case of the first rows."""
        inputs = {name: value[:rows] if name in self.batched else value for name, value in self.inputs.items()}
        return Case(inputs, {name: value[:rows] for name, value in self.expected.items()}, self.batched)
