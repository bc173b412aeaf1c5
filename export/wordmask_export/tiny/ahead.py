"""Batches made by worker processes before a training needs them.

A batch follows from its step's number alone, so it is the same whichever process makes it.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, Protocol

import cv2


class Stream(Protocol):
    """A stage's batches by step number; it must be picklable."""

    steps_a_block: int  # that many steps in a row share what is costly to make

    def __call__(self, step: int) -> Any:
        """The batch of a step."""


class Ahead:
    """A stream whose blocks of batches come from worker processes, as many ahead as there are workers.

    Args:
        stream: makes the batches.
        pool: of worker processes, made by `workers`.
        count: number of the workers.
    """

    def __init__(self, stream: Stream, pool: ProcessPoolExecutor, count: int) -> None:
        self.steps_a_block = stream.steps_a_block
        self._pool, self._count = pool, count
        self._asked: dict[int, Future[list[Any]]] = {}  # by block

    def __call__(self, step: int) -> Any:
        """The batch of a step; it waits if the workers have not made it yet."""
        number, place = divmod(step, self.steps_a_block)
        wanted = range(number, number + self._count + 1)
        self._asked = {block: self._asked.get(block) or self._pool.submit(_make, block) for block in wanted}
        return self._asked[number].result()[place]


@contextmanager
def ahead(stream: Stream, count: int) -> Iterator[Stream]:
    """The stream itself, or with a count of workers one that they serve; they end with the context."""
    if not count:
        yield stream
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_start, initargs=(stream,)) as pool:
        try:
            yield Ahead(stream, pool, count)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_stream: Stream | None = None  # of a worker process


def _start(stream: Stream) -> None:
    global _stream  # noqa: PLW0603  (set once a process)
    cv2.setNumThreads(1)
    _stream = stream


def _make(number: int) -> list[Any]:
    assert _stream is not None
    first = number * _stream.steps_a_block
    return [_stream(step) for step in range(first, first + _stream.steps_a_block)]
