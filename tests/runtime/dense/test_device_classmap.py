"""The class map's graph, run on the CPU, gives what numpy gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wordmask import Options, Segmenter
from wordmask.backends.device import parse_device
from wordmask.dense import device_classmap
from wordmask.dense.classmap import classify
from wordmask.dense.device_classmap import Axis, classify_on_device, load_class_map
from wordmask.dense.stitching import stitch
from wordmask.dense.windows import cut_windows, resize_for_clip, window_starts, with_stride
from wordmask.errors import NumericError
from wordmask.loading import LoadedGraphs
from wordmask.photo.reading import decode
from wordmask.resize import bilinear
from wordmask.text.vocabulary import Vocabulary

SIDE, STRIDE, SCALE = 32, 16, 40.0


@pytest.fixture(scope="module")
def graph():
    return load_class_map(parse_device("cpu"))


def windows(resized, words, seed=0):
    """Smooth similarities of each window, and the windows' corners."""
    corners = [(y, x) for y in window_starts(resized[0], SIDE, STRIDE) for x in window_starts(resized[1], SIDE, STRIDE)]
    coarse = np.random.default_rng(seed).uniform(-0.1, 0.3, (len(corners), words, 4, 4)).astype(np.float32)
    return bilinear(coarse, (SIDE, SIDE)), corners


def both(graph, logits, corners, resized, starts, size):
    expected = classify(stitch(list(logits), corners, resized), starts, size, SCALE)
    return classify_on_device(graph, logits, corners, resized, starts, size, SCALE), expected


@pytest.mark.parametrize(
    ("resized", "size"),
    [
        ((48, 72), (170, 260)),
        ((48, 75), (96, 150)),  # the last window is shifted back: three overlap
        ((32, 32), (32, 32)),
        ((48, 40), (20, 17)),  # smaller than what CLIP saw
        ((20, 50), (61, 152)),  # a side shorter than a window
    ],
)
@pytest.mark.parametrize("starts", [range(7), (0, 2, 3)], ids=["words", "synonyms"])
def test_it_is_the_class_map_of_the_stitched_windows(graph, resized, size, starts):
    logits, corners = windows(resized, 7)
    found, expected = both(graph, logits, corners, resized, starts, size)
    assert found.index.dtype == expected.index.dtype
    assert (found.index == expected.index).mean() > 0.999  # words within the last digit of each other
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=5e-6)
    np.testing.assert_allclose(found.best, expected.best, atol=5e-6)
    assert len(np.unique(expected.index)) > 1


def test_the_first_of_equal_words_wins(graph):
    logits, corners = windows((48, 72), 6)
    logits[:, 4] = logits[:, 1]
    found, _ = both(graph, logits, corners, (48, 72), range(6), (100, 150))
    assert 1 in found.index
    assert 4 not in found.index


def test_bands_give_what_the_whole_gives_at_once(graph, monkeypatch):
    logits, corners = windows((48, 72), 5)
    arguments = (graph, logits, corners, (48, 72), range(5), (101, 150), SCALE)
    whole = classify_on_device(*arguments)
    monkeypatch.setattr(device_classmap, "BAND_BYTES", 4 * 5 * 150 * 7)
    banded = classify_on_device(*arguments)
    np.testing.assert_array_equal(banded.index, whole.index)
    np.testing.assert_array_equal(banded.confidence, whole.confidence)
    np.testing.assert_array_equal(banded.best, whole.best)


def test_as_many_classes_as_a_byte_tells_can_win(graph):
    classes = device_classmap.MAX_CLASSES
    logits = np.full((1, classes, SIDE, SIDE), -0.5, np.float32)
    last = np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % classes
    np.put_along_axis(logits[0], last[None], 0.5, axis=0)
    found = classify_on_device(graph, logits, [(0, 0)], (SIDE, SIDE), range(classes), (SIDE, SIDE), SCALE)
    np.testing.assert_array_equal(found.index, last)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_an_error(graph, value):
    logits, corners = windows((48, 72), 3)
    logits[2, 1, 5, 5] = value
    with pytest.raises(NumericError, match="class_map"):
        classify_on_device(graph, logits, corners, (48, 72), range(3), (96, 144), SCALE)


def test_weights_of_overlapping_windows_average_them():
    positions, weights = Axis((0, 16, 24), 32, 56).overlap(slice(None))
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert positions.shape == (3, 56)
    assert positions[:, 25].tolist() == [25, 32 + 9, 64 + 1]
    assert weights[:, 0].tolist() == [1, 0, 0]


def test_the_shipped_graph_is_the_one_that_the_exporter_writes():
    pytest.importorskip("torch")
    from wordmask_export.graphs.class_map import build

    assert device_classmap.FILE.read_bytes() == build().SerializeToString()


class OnDevice:
    """Passes a graph's runs on; logits that are kept are handed out as if they lay on a device."""

    preferred_batch_size = None

    def __init__(self, graph):
        self.graph, self.kept = graph, 0

    def run(self, inputs, keep=()):
        self.kept += "logits" in keep
        return self.graph.run(inputs, keep)

    def cancel(self):
        pass


@pytest.fixture(scope="module")
def on_host(fast_tiny):
    return Segmenter(fast_tiny)


@pytest.fixture
def on_device(on_host):
    """A segmenter whose graphs count as those of a GPU."""
    graphs = {**on_host.graphs, "loftup": OnDevice(on_host.graphs["loftup"])}
    return Segmenter(
        on_host.bundle, loaded=LoadedGraphs(graphs, False, False, class_map=load_class_map(parse_device("cpu")))
    )


@pytest.fixture(scope="module")
def photo(examples):
    return np.ascontiguousarray(decode(examples.parent / "scenes" / "01.png")[:160, :160])


def class_map(segmenter, photo, options, words=("red striped", "blue, green dotted", "grass")):
    queries = segmenter.embed(Vocabulary.parse(list(words), ["sky"]))
    return segmenter.class_map(photo, queries, options)


FULL = Options(upsample="full", stride=128)  # four windows: a run takes them all


def test_a_photo_whose_logits_stay_on_the_device_has_the_same_class_map(on_device, on_host, photo):
    found, expected = class_map(on_device, photo, FULL), class_map(on_host, photo, FULL)
    assert on_device.graphs["loftup"].kept == 1
    assert (found.index == expected.index).mean() > 0.999
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=2e-4)
    np.testing.assert_allclose(found.best, expected.best, atol=2e-4)


@pytest.mark.parametrize(
    "options",
    [replace(FULL, pamr=True), replace(FULL, use_loftup=False), replace(FULL, upsample="selective")],
    ids=["pamr", "bilinear", "selective"],
)
def test_what_the_graph_cannot_do_the_host_does(on_device, on_host, photo, options):
    found, expected = class_map(on_device, photo, options), class_map(on_host, photo, options)
    assert on_device.graphs["loftup"].kept == 0
    assert (found.index == expected.index).mean() > 0.999


def test_windows_that_overlap_by_a_chosen_step_are_joined_on_the_device_too(on_device, on_host, photo, monkeypatch):
    monkeypatch.setattr("wordmask.loading.GPU_WINDOWS", 16)
    close = replace(FULL, stride=96)
    found, expected = class_map(on_device, photo, close), class_map(on_host, photo, close)
    assert on_device.graphs["loftup"].kept == 1
    assert (found.index == expected.index).mean() > 0.999
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=2e-4)
    assert np.abs(found.confidence - class_map(on_host, photo, FULL).confidence).max() > 0.1


def test_a_photo_of_more_windows_than_a_run_takes_goes_the_hosts_way(on_device, on_host, photo, monkeypatch):
    monkeypatch.setattr("wordmask.loading.GPU_WINDOWS", 4)
    wide = np.concatenate([photo, photo[:, :60]], axis=1)
    constants = on_host.manifest.clip
    windows = cut_windows(resize_for_clip(wide, constants), with_stride(constants, FULL.stride))[1]
    assert len(windows) > on_device.loaded.windows_a_run
    found, expected = class_map(on_device, wide, FULL), class_map(on_host, wide, FULL)
    assert on_device.graphs["loftup"].kept == 0
    assert (found.index == expected.index).mean() > 0.999


def test_less_memory_than_all_windows_need_is_no_failure(on_device, on_host, photo):
    def short_of_memory(inputs, keep=()):
        if len(inputs["guidance"]) > 1:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        return on_host.graphs["loftup"].run(inputs, keep)

    on_device.graphs["loftup"].run = short_of_memory
    found, expected = class_map(on_device, photo, FULL), class_map(on_host, photo, FULL)
    assert (found.index == expected.index).mean() > 0.999
