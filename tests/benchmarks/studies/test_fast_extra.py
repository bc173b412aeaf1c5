"""The comparison with and without the extra `fast` measures both, and only where they agree."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from wordmask_bench.studies.fast_extra import blob, compare


def test_both_ways_are_timed_and_the_module_is_left_as_it_was() -> None:
    module, seen = SimpleNamespace(codec="quick"), []

    def call() -> int:
        seen.append(module.codec)
        return 1

    assert compare(call, module, "codec", 2).endswith("with codec")
    assert seen == [None, "quick", None, "quick"]
    assert module.codec == "quick"


def test_another_result_is_an_error() -> None:
    module = SimpleNamespace(codec="quick")
    with pytest.raises(RuntimeError, match="another result"):
        compare(lambda: module.codec, module, "codec", 1)


def test_masks_have_an_inside_and_an_outside() -> None:
    assert 0.2 < blob((60, 80)).mean() < 0.8
