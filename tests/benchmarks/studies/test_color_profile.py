"""The study of colour profiles codes colours as cameras do, and finds no effect where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.pipeline import Segmenter
from wordmask_bench.studies.color_profile import as_adobe_rgb, as_display_p3, on_scenes


def test_colours_have_the_numbers_of_the_published_spaces() -> None:
    srgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [128, 128, 128]]], np.uint8)
    # Of the CSS Color 4 samples, color(display-p3 ...) of sRGB's primaries: 0.9175 0.2003 0.1386; 0.4584 0.9853 0.2983
    assert as_display_p3(srgb)[0].tolist() == [[234, 51, 35], [117, 251, 76], [0, 0, 245], [255] * 3, [128] * 3]
    adobe = as_adobe_rgb(srgb)[0].tolist()
    assert adobe[:3] == [[219, 0, 0], [144, 255, 60], [0, 0, 250]]
    assert adobe[3:] == [[255] * 3, [127] * 3]


@pytest.mark.parametrize("stored", [lambda pixels: pixels, as_display_p3])
def test_the_effect_is_none_without_a_change_and_some_with_one(stored) -> None:
    effect = on_scenes(Segmenter("tiny"), stored, 2)
    if stored is as_display_p3:
        assert effect.changed > 0
        assert effect.difference > 1
    else:
        assert (effect.miou, effect.changed, effect.difference) == (effect.miou_ignored, 0, 0)
