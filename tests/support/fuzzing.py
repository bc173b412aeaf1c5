"""Tests on made-up input: a short budget in the suite, the same every time; minutes of fresh input where asked for.

    WORDMASK_FUZZ_MINUTES=10 python -m pytest -n 0 -s tests/fuzz -k image

gives each test ten minutes, in rounds whose seed is printed. What a failure shows as the falsifying example becomes one
of the test's `known` inputs. What reads a file that others may have written gets a test file here.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

MINUTES = float(os.environ.get("WORDMASK_FUZZ_MINUTES", "0"))
_ROUND = 1000  # examples between two looks at the clock
Check = Callable[[Any, Path], None]


def fuzz(
    strategy: SearchStrategy[Any], *, examples: int, known: Sequence[Any] = ()
) -> Callable[[Check], Callable[[Path], None]]:
    """Makes a test of a check that takes one input and an empty folder, and must raise nothing.

    Args:
        strategy: of the inputs.
        examples: in the suite.
        known: inputs that failed once; they come first.
    """

    def decorate(check: Check) -> Callable[[Path], None]:
        def test(tmp_path: Path) -> None:
            for value in known:
                check(value, tmp_path)
            _run(check, strategy, tmp_path, max_examples=examples, derandomize=True)
            end = time.monotonic() + 60 * MINUTES
            while time.monotonic() < end:
                number = random.getrandbits(32)
                print(f"{check.__name__}: seed {number}", flush=True)  # noqa: T201
                _run(check, strategy, tmp_path, seed=number, max_examples=_ROUND)

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


def _run(check: Check, strategy: SearchStrategy[Any], folder: Path, seed: int | None = None, **profile: Any) -> None:
    def once(value: Any) -> None:
        check(value, folder)

    once.__qualname__ = check.__name__  # what a reproducible run is derived from
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    run = settings(deadline=None, database=None, suppress_health_check=quiet, **profile)(given(strategy)(once))
    (run if seed is None else hypothesis.seed(seed)(run))()
