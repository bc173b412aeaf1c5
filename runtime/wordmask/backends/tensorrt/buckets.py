"""Chooses the optimisation profile of an engine for a batch, and how its rows are padded and split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wordmask.backends import Values
from wordmask.bundle.engines import ROWS, Profile, shape_of
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.errors import EngineError


@dataclass(frozen=True)
class RowRange:
    """Rows of a batch that go through the engine in one run.

    Attributes:
        start, stop: the rows.
        profile: the index of the profile they take.
        sizes: the size of each symbol there; the number of rows is the padded one.
    """

    start: int
    stop: int
    profile: int
    sizes: tuple[tuple[str, int], ...]

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """Shape of a tensor in the engine's run."""
        return shape_of(tensor, dict(self.sizes))


class Buckets:
    """The profiles of one engine."""

    def __init__(self, name: str, entry: GraphEntry, profiles: tuple[Profile, ...]) -> None:
        """Args: name is for messages; profiles are the engine's, in its order.

        Raises:
            EngineError: the graph's rows do not come first in its tensors, or there are rows of two kinds.
        """
        self._name = name
        self._entry = entry
        self._profiles = profiles
        symbols = {size for tensor in entry.inputs for size in tensor.shape if size in ROWS}
        later = {size for tensor in (*entry.inputs, *entry.outputs) for size in tensor.shape[1:] if size in ROWS}
        if len(symbols) > 1 or later or not profiles:
            raise EngineError(
                f"{name}: rows must be of one kind and come first: build the bundle and its engines again"
            )
        self.symbol = str(symbols.pop()) if symbols else None

    @property
    def largest(self) -> int | None:
        """The largest batch size of a profile; None if the graph has no rows."""
        return None if self.symbol is None else max(profile[self.symbol].maximum for profile in self._profiles)

    def has_rows(self, tensor: Tensor) -> bool:
        """Whether a tensor's first axis are rows."""
        return self.symbol is not None and bool(tensor.shape) and tensor.shape[0] == self.symbol

    def sizes(self, inputs: Values) -> dict[str, int]:
        """The sizes of all symbols.

        Raises:
            EngineError: an input is missing, or is not what the graph takes.
        """
        found: dict[str, int] = {}
        for tensor in self._entry.inputs:
            value = inputs.get(tensor.name)
            given = "nothing" if value is None else f"{value.dtype} {value.shape}"
            if value is not None and len(value.shape) == len(tensor.shape) and value.dtype == tensor.dtype:
                for size, actual in zip(tensor.shape, value.shape, strict=True):
                    if isinstance(size, str):
                        found.setdefault(size, actual)
                if shape_of(tensor, found) == tuple(value.shape):
                    continue
            raise EngineError(
                f"{self._name}: the input {tensor.name!r} is {given}, expected {tensor.dtype} {tensor.shape}"
            )
        return found

    def row_ranges(self, sizes: dict[str, int]) -> Iterator[RowRange]:
        """Splits a batch into ranges of rows that a profile holds.

        Raises:
            EngineError: no profile holds a symbol's size.
        """
        if self.symbol is None:
            yield self._row_range(sizes, 0, 1)
            return
        largest, rows = self.largest, sizes[self.symbol]
        assert largest is not None
        for start in range(0, rows, largest):
            yield self._row_range(sizes, start, min(start + largest, rows))

    def _row_range(self, sizes: dict[str, int], start: int, stop: int) -> RowRange:
        wanted = sizes if self.symbol is None else {**sizes, self.symbol: stop - start}
        fitting = [(self._padded(wanted, profile), i) for i, profile in enumerate(self._profiles)]
        held = [(padded, i) for padded, i in fitting if padded is not None]
        if not held:
            raise EngineError(self._misfit(wanted))
        padded, profile = min(held, key=lambda pair: (pair[0].get(self.symbol or "", 0), pair[1]))
        return RowRange(start, stop, profile, tuple(sorted(padded.items())))

    def _padded(self, sizes: dict[str, int], profile: Profile) -> dict[str, int] | None:
        """The sizes with the rows raised to the profile's least; None if the profile does not hold them."""
        padded = dict(sizes)
        if self.symbol is not None:
            padded[self.symbol] = max(sizes[self.symbol], profile[self.symbol].minimum)
        fits = all(profile[s].minimum <= size <= profile[s].maximum for s, size in padded.items())
        return padded if fits else None

    def _misfit(self, sizes: dict[str, int]) -> str:
        wrong = []
        for symbol, size in sizes.items():
            ranges = sorted({(p[symbol].minimum, p[symbol].maximum) for p in self._profiles})
            if symbol != self.symbol and not any(low <= size <= high for low, high in ranges):
                wrong.append(f"{symbol} is {size} (it takes {', '.join(f'{low} to {high}' for low, high in ranges)})")
        return (
            f"{self._name}: its engine was not built for these sizes: {'; '.join(wrong) or sizes}; "
            "--device cuda takes all sizes"
        )
