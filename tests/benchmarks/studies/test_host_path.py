"""The host's share of a photo, measured over a small photo."""

from __future__ import annotations

import pytest

from wordmask_bench.speed.folder_run import write_made_photo
from wordmask_bench.studies.host_path import IN_FLIGHT, OnDevice, measure


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "small.jpg"
    write_made_photo(path, (240, 360))
    return path


def test_every_stage_of_the_host_is_timed_and_nothing_is_fetched_from_the_device(photo):
    figures = measure(photo, photos=2)
    assert figures["photo"] == "360x240"
    assert figures["latency_ms"] > 0
    for count in IN_FLIGHT:
        run = figures[f"in_flight_{count}"]
        stages = {"decode", "clip", "loftup", "class_map", "prompts", "sam2_encoder", "sam2_decoder", "masks", "write"}
        assert set(run["stages_ms"]) == stages
        assert run["photos_per_second"] > 0
    assert figures["cpu_ms_per_photo"] == min(figures[f"in_flight_{n}"]["cpu_ms_per_photo"] for n in IN_FLIGHT)


def test_what_stays_on_the_device_cannot_be_fetched():
    with pytest.raises(AssertionError, match="should stay on the device"):
        OnDevice(1, 2).numpy()
