"""Which sizes of its inputs an engine is built for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from wordmask.backends.tensorrt.buckets import Buckets
from wordmask.bundle.engines import Range
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.dense.similarities import MOST_WORDS
from wordmask_export.tensorrt.profiles import WORDS, profiles

TINY = Path(__file__).resolve().parents[3] / "models_cache" / "tiny"


def test_loftups_engine_takes_the_words_or_the_axes_of_their_space():
    manifest = read_manifest(TINY)
    assert WORDS.maximum == MOST_WORDS
    wide = dataclasses.replace(manifest, clip=dataclasses.replace(manifest.clip, dim=768))
    most = [profiles(each, max_batch=1, max_prompts=8)["loftup"][0]["C"].maximum for each in (manifest, wide)]
    assert most == [512, 768]


def test_rows_are_fixed_in_buckets_and_other_symbols_range():
    found = profiles(read_manifest(TINY), max_batch=8, max_prompts=64)
    assert found["clip_image"] == tuple({"B": Range(size, size, size)} for size in (1, 2, 4, 6, 8))
    assert found["sam2_encoder"] == ({"B": Range(1, 1, 1)},)
    assert found["clip_text"] == ({"T": Range(64, 64, 64), "L": Range(1, 16, 77)},)
    assert [profile["N"].optimum for profile in found["sam2_decoder"]] == [8, 16, 32, 64]
    assert all(profile["P"] == Range(1, 1, 16) for profile in found["sam2_decoder"])
    assert found["loftup"][-1] == {
        "B": Range(8, 8, 8),
        "C": Range(1, 32, 512),
        "H+4": Range(36, 132, 132),
        "W+4": Range(36, 132, 132),
        "h": Range(8, 8, 8),
        "w": Range(8, 8, 8),
        "h*w": Range(64, 64, 64),
    }


@pytest.mark.parametrize(("most", "buckets"), [(1, [1]), (8, [8]), (20, [8, 16, 20]), (100, [8, 16, 32, 64, 100])])
def test_the_largest_bucket_is_what_was_asked_for(most, buckets):
    found = profiles(read_manifest(TINY), max_batch=1, max_prompts=most)
    assert [profile["N"].maximum for profile in found["sam2_decoder"]] == buckets
    assert found["clip_image"] == ({"B": Range(1, 1, 1)},)


@pytest.mark.parametrize(("most", "buckets"), [(1, [1]), (2, [1, 2]), (7, [1, 2, 4, 6, 7]), (10, [1, 2, 4, 6, 8, 10])])
def test_windows_have_a_bucket_for_each_usual_shape_of_photo(most, buckets):
    found = profiles(read_manifest(TINY), max_batch=most, max_prompts=8)
    for name in ("clip_image", "loftup", "loftup_features"):
        assert [profile["B"].maximum for profile in found[name]] == buckets


def test_a_photo_with_six_windows_is_not_padded():
    """4:3; with a bucket of 8 a third more would be computed."""
    manifest = read_manifest(TINY)
    found = Buckets("loftup", manifest.graphs["loftup"], profiles(manifest, max_batch=10, max_prompts=8)["loftup"])
    sizes = {"C": 20, "H+4": 132, "W+4": 132, "h": 8, "w": 8, "h*w": 64}
    runs = {
        rows: [dict(each.sizes)["B"] for each in found.row_ranges({**sizes, "B": rows})] for rows in (4, 6, 8, 10, 16)
    }
    assert runs == {4: [4], 6: [6], 8: [8], 10: [10], 16: [10, 6]}


def test_the_text_bucket_is_the_runtimes_own_batch():
    from wordmask.text.embedder import BATCH

    found = profiles(read_manifest(TINY), max_batch=1, max_prompts=8)
    assert found["clip_text"][0]["T"].maximum == BATCH


@pytest.mark.parametrize("sizes", [{"max_batch": 0, "max_prompts": 8}, {"max_batch": 1, "max_prompts": -1}])
def test_sizes_that_are_not_positive_are_refused(sizes):
    with pytest.raises(ValueError, match="at least 1"):
        profiles(read_manifest(TINY), **sizes)


def test_a_symbol_of_unknown_meaning_is_refused():
    manifest = read_manifest(TINY)
    tensor = dataclasses.replace(manifest.graphs["clip_image"].inputs[0], shape=("B", "Q", 128, 3))
    entry = dataclasses.replace(manifest.graphs["clip_image"], inputs=(tensor,))
    with pytest.raises(ValueError, match="clip_image: no sizes are known for Q"):
        profiles(dataclasses.replace(manifest, graphs={"clip_image": entry}), max_batch=1, max_prompts=8)
