"""What a run comes to."""

from __future__ import annotations

import pytest

from wordmask.outputs.summary import reduction


def test_the_reduction_is_the_share_of_the_grid_that_is_saved() -> None:
    assert reduction(32, 1024) == pytest.approx(0.96875)
    assert reduction(0, 4096) == 1.0
    assert reduction(5000, 4096) == 0.0
