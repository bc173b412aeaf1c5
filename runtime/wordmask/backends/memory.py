"""Smaller batches where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

# in messages of ONNX Runtime, and of Triton, whose processes share memory
SIGNS = ("failed to allocate", "out of memory", "bad_alloc", "bad allocation", "shared memory pool")
logger = logging.getLogger(__name__)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that the host or the device has not enough memory."""
    return isinstance(error, MemoryError) or any(sign in str(error).lower() for sign in SIGNS)


def halve_batch_on_oom(run: Callable[[int], Result], most: int) -> Result:
    """Runs with batches of `most`, and halves the batch as long as memory runs out.

    Args:
        run: takes the largest batch it may use; the result does not depend on it.
        most: at least 1.

    Raises:
        Exception: what `run` raised with batches of one, or for another reason.
    """
    size = most
    while True:
        try:
            return run(size)
        except Exception as error:
            if size == 1 or not is_out_of_memory(error):
                raise
            logger.warning("not enough memory for batches of %d: trying %d", size, size // 2)
            size //= 2
