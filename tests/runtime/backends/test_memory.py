"""Batches that do not fit."""

from __future__ import annotations

import pytest

from wordmask.backends.memory import halve_batch_on_oom
from wordmask.backends.tensorrt.cuda import GpuMemoryError

ERRORS = {
    "host": MemoryError(),
    "gpu": GpuMemoryError("GPU 0"),
    "onnxruntime": RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer"),
}


def limited(fits: int, error: Exception):
    """A computation that takes batches of at most `fits`, and the sizes that were tried."""
    tried = []

    def run(size):
        tried.append(size)
        if size > fits:
            raise error
        return size

    return run, tried


@pytest.mark.parametrize("kind", list(ERRORS))
def test_batches_are_halved_until_they_fit(kind):
    run, tried = limited(2, ERRORS[kind])
    assert halve_batch_on_oom(run, 12) == 1
    assert tried == [12, 6, 3, 1]


def test_what_does_not_fit_alone_is_an_error():
    run, tried = limited(0, MemoryError("too large"))
    with pytest.raises(MemoryError, match="too large"):
        halve_batch_on_oom(run, 4)
    assert tried == [4, 2, 1]


def test_other_errors_are_not_tried_again():
    run, tried = limited(0, RuntimeError("a bug"))
    with pytest.raises(RuntimeError, match="a bug"):
        halve_batch_on_oom(run, 4)
    assert tried == [4]
