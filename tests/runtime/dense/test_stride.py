"""Another step between windows gives what a bundle with that step gives, and is refused where it cannot be had."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from wordmask import Options, Segmenter
from wordmask.cli.main import main
from wordmask.errors import BundleError
from wordmask.photo.reading import decode
from wordmask.text.vocabulary import Vocabulary
from wordmask.triton.request import Question, RequestError, answer

STRIDE = 80


@pytest.fixture(scope="module")
def segmenter(fast_tiny):
    return Segmenter(fast_tiny, threads=1)


@pytest.fixture(scope="module")
def with_another_bundle(segmenter):
    manifest = segmenter.manifest
    assert manifest.clip.stride != STRIDE
    bundle = replace(segmenter.bundle, manifest=replace(manifest, clip=replace(manifest.clip, stride=STRIDE)))
    return Segmenter(bundle, loaded=segmenter.loaded, threads=1)


@pytest.fixture(scope="module")
def photo(examples):
    return np.ascontiguousarray(decode(examples.parent / "scenes" / "01.png")[:160, :200])


@pytest.mark.parametrize(
    "options",
    [Options(use_loftup=False), Options(), Options(upsample_scope="image")],
    ids=["bilinear", "windows", "image"],
)
def test_the_class_map_is_that_of_a_bundle_with_this_stride(segmenter, with_another_bundle, photo, options):
    queries = segmenter.embed(Vocabulary.parse(["blue plain", "green checkered", "grass"]))
    found = segmenter.class_map(photo, queries, replace(options, stride=STRIDE))
    expected = with_another_bundle.class_map(photo, queries, options)
    np.testing.assert_array_equal(found.index, expected.index)
    np.testing.assert_array_equal(found.confidence, expected.confidence)
    assert (found.confidence != segmenter.class_map(photo, queries, options).confidence).any()


@pytest.mark.parametrize("output", ["out", "out.png"])
def test_run_refuses_a_step_that_the_bundles_windows_cannot_have_before_any_photo(examples, tmp_path, capsys, output):
    scene, out = str(examples.parent / "scenes" / "01.png"), tmp_path / output
    words = ["--vocabulary", "blue plain", "--threads", "1", "--bundle", "tiny", "--output", str(out)]
    assert main(["run", scene, *words, "--stride", "129"]) == 2
    message = "wordmask: stride is 129: it must lie between 16 and 128, the side of the bundle's windows"
    assert capsys.readouterr().err.splitlines()[-1] == message
    assert not (out / "journal.jsonl").exists()


def test_a_request_to_triton_with_such_a_step_is_the_requests_fault(segmenter, examples):
    data = (examples.parent / "scenes" / "01.png").read_bytes()
    question = Question.parse(data, b"cat", b'{"stride": 4}')
    with pytest.raises(RequestError, match="stride is 4"):
        next(answer(segmenter, segmenter.embed, question, ("report",)))


def test_eval_takes_the_step_as_an_option_of_its_own_or_of_the_options(fast_tiny, tmp_path):
    figures = []
    for number, given in enumerate((["--stride", "96"], ["--options", "stride=96"], [])):
        file = tmp_path / f"{number}.json"
        asked = ["eval", "--dataset", "scenes", "--bundle", str(fast_tiny), "--limit", "1", "--workers", "1", *given]
        assert main([*asked, "--json", str(file)]) == 0
        figures.append(json.loads(file.read_text()))
    assert [one["options"] for one in figures] == [["stride=96"], ["stride=96"], []]
    assert figures[0]["maps"] == figures[1]["maps"] != figures[2]["maps"]


def test_python_refuses_a_step_that_is_too_small(segmenter, photo):
    with pytest.raises(BundleError, match="stride is 4"):
        segmenter(photo, ["blue plain"], options=Options(stride=4))
