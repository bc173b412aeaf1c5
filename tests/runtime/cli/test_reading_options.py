"""--lenient, --max-pixels and --color-profile reach every place that reads photos."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image

from folder_runs import rows, run, statuses
from photos import encoded, photo
from stub_segmenter import StubSegmenter, write_photos
from wordmask.cli import demo
from wordmask.cli.arguments import read_options
from wordmask.cli.main import main, make_parser
from wordmask.demo.cached_segmenter import Workbench
from wordmask.errors import PhotoError
from wordmask.outputs.resume import RESUME_MAY_DIFFER
from wordmask.photo.options import MAX_PIXELS, ReadOptions
from wordmask.photo.url import Url
from wordmask.report.pictures import make_pictures
from wordmask.run.find_photos import find_photos, load_unchanged
from wordmask.triton.request import Question, RequestError

CHOSEN = ["--lenient", "--max-pixels", "7000", "--color-profile", "srgb"]
WORDS = ["--vocabulary", "red", "green"]


@pytest.mark.parametrize(
    "command",
    [
        ["run", "in", *WORDS, "--output", "out"],
        ["features", "in", "--output", "out"],
        ["compare", "--image", "in", *WORDS, "--output", "out.png"],
        ["demo"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_reads_photos_takes_them(command: list[str]) -> None:
    parser = make_parser(command)
    assert read_options(parser.parse_args([*command, *CHOSEN])) == ReadOptions(True, 7000, "srgb")
    most = demo.MOST_PIXELS if command[0] == "demo" else MAX_PIXELS
    assert read_options(parser.parse_args(command)) == ReadOptions(max_pixels=most)


def test_a_photo_that_is_too_large_names_the_option_and_is_done_when_more_is_allowed(tmp_path, capsys) -> None:
    photos, out = write_photos(tmp_path / "in", 2), tmp_path / "out"
    with Image.open(photos / "000.png") as picture:
        size = picture.width * picture.height
    command = ["run", str(photos), *WORDS, "--output", str(out), "--bundle", "tiny", "--no-loftup"]
    assert main([*command, "--max-pixels", str(size - 1)]) == 3
    assert set(statuses(out).values()) == {"TOO_LARGE"}
    assert "--max-pixels N on the command line, max_pixels=N in Python" in rows(out)[0]["error"]
    assert main([*command, "--max-pixels", str(size)]) == 0  # the same run goes on
    assert set(statuses(out).values()) == {"ok"}
    assert main([*command, "--max-pixels", "0"]) == 2
    assert "max_pixels is 0: it must be at least 1" in capsys.readouterr().err


def test_compare_and_features_name_the_option_too(tmp_path, capsys) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(photo(), "PNG"))
    asked = [str(tmp_path / "photo.png"), "--bundle", "tiny", "--max-pixels", "100", "--output"]
    assert main(["features", *asked, str(tmp_path / "out.png")]) == 3
    assert "TOO_LARGE" in (told := capsys.readouterr().err)
    assert "--max-pixels N" in told
    assert main(["compare", *WORDS, "--image", *asked, str(tmp_path / "out.png")]) == 2
    assert "--max-pixels N" in capsys.readouterr().err


def test_a_run_with_another_reading_is_not_continued_unless_only_more_pixels_are_allowed(tmp_path) -> None:
    photos, out = write_photos(tmp_path / "in", 1), tmp_path / "out"
    run(photos, out, reading=ReadOptions(max_pixels=100_000))
    assert "max_pixels" in RESUME_MAY_DIFFER
    run(photos, out, reading=ReadOptions(max_pixels=200_000))
    with pytest.raises(ValueError, match='color_profile was "ignore" and is now "srgb"'):
        run(photos, out, reading=ReadOptions(color_profile="srgb"))
    with pytest.raises(ValueError, match="lenient was"):
        run(photos, out, reading=ReadOptions(lenient=True))


def test_workers_on_a_cluster_get_them_with_the_request_and_remote_photos_are_read_by_them(memory) -> None:
    memory.pipe_file("/photos/a.png", encoded(photo(), "PNG"))
    (job,) = find_photos([Url("memory://photos")])
    limited = pickle.loads(pickle.dumps(ReadOptions(max_pixels=100)))
    with pytest.raises(PhotoError, match="--max-pixels N") as caught:
        load_unchanged(job, limited)
    assert caught.value.code == "TOO_LARGE"
    assert load_unchanged(job, ReadOptions(max_pixels=10800)).pixels.shape == (90, 120, 3)


def test_a_request_to_triton_chooses_the_profile_but_not_the_servers_limit() -> None:
    data = encoded(photo(), "PNG")
    assert Question.parse(data, b"cat", b'{"color_profile": "srgb"}').reading == ReadOptions(color_profile="srgb")
    assert Question.parse(data, b"cat", b'{"lenient": true}').reading == ReadOptions(lenient=True)
    with pytest.raises(RequestError, match=r"options\.color_profile is 'p3', expected one of 'ignore', 'srgb'"):
        Question.parse(data, b"cat", b'{"color_profile": "p3"}')
    with pytest.raises(RequestError, match="max_pixels"):
        Question.parse(data, b"cat", b'{"max_pixels": 1000000000}')


def test_the_demo_reads_photos_by_them(tmp_path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(photo(), "PNG"))
    workbench = Workbench(StubSegmenter(), (), reading=ReadOptions(max_pixels=100))
    with pytest.raises(PhotoError, match="--max-pixels N"):
        workbench.photo(path)
    np.testing.assert_array_equal(Workbench(StubSegmenter(), ()).photo(path), photo())


def test_the_report_reads_photos_as_the_run_did(tmp_path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(photo(), "PNG"))
    arguments = (tmp_path / "out", "photo", tmp_path / "photo.png", (90, 120), (), ())
    assert "report_assets/photos" not in make_pictures(*arguments, ReadOptions(max_pixels=100))
    assert "report_assets/photos" in make_pictures(*arguments, ReadOptions(max_pixels=10800))
