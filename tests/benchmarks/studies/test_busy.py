"""The share of a run in which engines work."""

from __future__ import annotations

import pytest

from wordmask import Segmenter
from wordmask_bench.studies.busy import covered, measure


@pytest.mark.parametrize(
    ("spans", "length"),
    [([], 0.0), ([(1, 3)], 2.0), ([(4, 5), (1, 3), (2, 3.5)], 3.5), ([(0, 10), (2, 3), (9, 12)], 12.0)],
    ids=["none", "one", "overlapping", "nested"],
)
def test_spans_that_overlap_count_once(spans, length):
    assert covered(spans) == length


def test_a_run_is_measured_over_all_its_photos(examples):
    scene = examples.parent / "scenes" / "01.png"
    figures = measure(Segmenter("tiny", threads=1), [scene], ["red striped", "grass"], 1)
    assert figures["photos"] == figures["ok"] == 1
    assert 0.3 < figures["engines_busy"] <= 1.0
    assert figures["photos_per_second"] == pytest.approx(1 / figures["seconds"])
