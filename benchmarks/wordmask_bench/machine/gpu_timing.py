"""Times of contenders in one process, on a GPU if they work there, and the GPU's memory."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping

from wordmask_bench.machine.timing import Effort, Times, alternate


def measure(contenders: Mapping[str, Callable[[], object]], effort: Effort, *, cuda: bool) -> dict[str, Times]:
    """Warms every contender up, then lets them run in turn.

    The wall clock is read when the call is back and the GPU has nothing left to do, so that the engines' streams and
    torch's are measured alike.

    Args:
        contenders: by name, one run each.
        effort: how long.
        cuda: whether they work on a GPU; torch must see it.
    """
    timed = {name: functools.partial(milliseconds, call, cuda) for name, call in contenders.items()}
    return alternate(timed, effort)


def milliseconds(call: Callable[[], object], cuda: bool) -> float:
    """One run, until the GPU has nothing left to do."""
    _synchronize(cuda)
    start = time.perf_counter()
    call()
    _synchronize(cuda)
    return (time.perf_counter() - start) * 1000


def _synchronize(cuda: bool) -> None:
    """Waits for all streams of the GPU, the engines' among them."""
    if cuda:
        import torch  # noqa: PLC0415

        torch.cuda.synchronize()


def gpu_used() -> int:
    """Bytes of the GPU's memory in use, by all processes and libraries."""
    import torch  # noqa: PLC0415

    free, total = torch.cuda.mem_get_info()
    return int(total - free)
