"""Kinds of upsampling side by side."""

from __future__ import annotations

from wordmask import Segmenter
from wordmask_bench.studies.selective_upsampling import KINDS, compare, scenes


def test_every_kind_is_compared_with_the_full_map(fast_tiny):
    segmenter = Segmenter(fast_tiny, threads=1)
    found = compare(segmenter, scenes(segmenter, 1))
    assert set(found) == set(KINDS)
    assert found["full"]["agreement"] == found["full"]["speed"] == 1.0
    assert found["selective"]["agreement"] > 0.99
    assert found["selective"]["speed"] > found["full"]["speed"]
    assert 0.9 < found["bilinear"]["agreement"] < 1.0
    assert found["selective"]["miou"] > found["bilinear"]["miou"] - 0.01
