"""Library code warns through `warnings`, in a category of its own; the command line prints that to stderr, once."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from wordmask import Segmenter
from wordmask.bundle.domains import DOMAINS, FEATURES
from wordmask.bundle.opening import Bundle, open_bundle
from wordmask.cli.main import main
from wordmask.errors import WordmaskWarning
from wordmask.featurizer import Featurizer


def warned(make) -> list[str]:
    """Messages of all our warnings, those that setup.cfg ignores included."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make()
    assert all(each.filename == __file__ for each in caught)  # it points at the caller's line
    return [str(each.message) for each in caught if issubclass(each.category, WordmaskWarning)]


def test_a_segmenter_warns_once_of_a_bundle_that_was_not_trained_on_photos(small_bundle):
    assert warned(lambda: [Segmenter("tiny", threads=1) for _ in range(2)]) == [DOMAINS["synthetic"]]
    assert warned(lambda: Segmenter(small_bundle, threads=1)) == [DOMAINS["random"]]


def test_nothing_is_said_of_a_bundle_that_was_trained_on_photos():
    tiny = open_bundle("tiny")
    segmenter = Segmenter(tiny, threads=1)
    manifest = type(tiny.manifest)(**{**vars(tiny.manifest), "domain": "photos"})
    assert warned(lambda: Segmenter(Bundle(tiny.folder, manifest), loaded=segmenter.loaded, threads=1)) == []


def test_a_featurizer_warns_of_random_weights(small_bundle):
    assert warned(lambda: Featurizer(small_bundle, threads=1)) == [FEATURES["random"]]


@pytest.fixture
def animation(tmp_path):
    first, second = (Image.fromarray(np.full((40, 50, 3), shade, np.uint8)) for shade in (60, 200))
    path = tmp_path / "two.gif"
    first.save(path, save_all=True, append_images=[second])
    return path


def test_a_photo_of_several_images_is_warned_of(animation):
    segmenter = Segmenter("tiny", threads=1)
    assert warned(lambda: segmenter(animation, ["red"])) == [f"{animation}: only the first of several images is used"]


@pytest.mark.parametrize(
    "arguments", [["features", "{}", "--size", "56"], ["compare", "--image", "{}", "--vocabulary", "red"]]
)
def test_commands_for_single_photos_note_it_too(arguments, animation, small_bundle, tmp_path, capsys):
    given = [argument.format(animation) for argument in arguments]
    assert main([*given, "--bundle", str(small_bundle), "--output", str(tmp_path / "out.png")]) == 0
    assert f"{animation}: only the first of several images is used" in capsys.readouterr().err.splitlines()


def test_the_command_line_prints_it_once_and_as_a_sentence(examples, tmp_path, capsys):
    run = ["run", str(examples.parent / "scenes" / "01.png"), "--vocabulary", "red", "--bundle", "tiny"]
    assert main([*run, "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.splitlines().count(f"WARNING: {DOMAINS['synthetic']}") == 1
    assert main([*run, "--output", str(tmp_path / "one.png")]) == 0


def test_a_process_that_treats_warnings_as_errors_gets_an_error():
    code = "from wordmask import Segmenter; Segmenter('tiny', threads=1)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"WordmaskWarning: {DOMAINS['synthetic']}" in done.stderr
