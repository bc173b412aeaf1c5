"""The options of the PyTorch pipeline's script on `wordmask run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wordmask import Options, Segmenter
from wordmask.cli.main import main, make_parser
from wordmask.formats.overlay import draw
from wordmask.formats.pictures import jpeg
from wordmask.photo.reading import decode

WORDS = ["red dotted", "green striped"]
OLD = """--image photo.jpg --vocabulary person car --use-loftup --min-confidence 0.6 --min-region-size 50
    --points-per-cluster 2 --negative-points-per-cluster 3 --negative-confidence-threshold 0.9 --iou-threshold 0.7
    --checkpoint checkpoints/sam2_hiera_large.pt --model-cfg sam2_hiera_l.yaml --output result.png --device cuda"""


@pytest.fixture
def scene(examples):
    return examples.parent / "scenes" / "04.png"


def refused(capsys, *arguments):
    """The message with which a command line is refused."""
    assert main(["run", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_the_old_scripts_options_are_read():
    args = make_parser().parse_args(["run", *OLD.split()])
    options = Options(**{name: getattr(args, name) for name in Options.__dataclass_fields__})
    assert (args.image, args.vocabulary) == ([Path("photo.jpg")], ["person", "car"])
    assert (args.checkpoint, args.model_cfg) == (Path("checkpoints/sam2_hiera_large.pt"), "sam2_hiera_l.yaml")
    assert (args.output, args.device) == (Path("result.png"), "cuda")
    assert (options.use_loftup, options.min_confidence, options.min_region_size) == (True, 0.6, 50)
    assert (options.points_per_region, options.negative_points, options.negative_min_confidence) == (2, 3, 0.9)
    assert options.iou_threshold == 0.7


def test_an_output_that_ends_in_png_is_the_photo_with_its_masks(scene, tmp_path, capsys, monkeypatch):
    out = tmp_path / "new" / "result.PNG"
    command = ["run", "--image", str(scene), "--vocabulary", *WORDS, "--background", "none", "--no-loftup"]
    monkeypatch.setattr("sys.argv", ["wordmask", *command, "--bundle", "tiny", "--output", str(out)])
    monkeypatch.setattr("wordmask.cli.main.supervise", None)  # there is no journal for it to watch
    assert main() == 0
    result = Segmenter("tiny")(scene, WORDS, background=(), options=Options(use_loftup=False))
    assert result.instances
    np.testing.assert_array_equal(np.asarray(Image.open(out)), draw(decode(scene), result))
    assert [path.name for path in out.parent.iterdir()] == ["result.PNG"]
    assert f"{len(result.instances)} masks: {out}" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG"])
def test_an_output_that_ends_in_jpg_is_drawn_like_one_that_ends_in_png(scene, tmp_path, suffix):
    out = tmp_path / f"result{suffix}"
    command = ["run", str(scene), "--vocabulary", *WORDS, "--background", "none", "--no-loftup", "--bundle", "tiny"]
    assert main([*command, "--output", str(out)]) == 0
    result = Segmenter("tiny")(scene, WORDS, background=(), options=Options(use_loftup=False))
    assert out.read_bytes() == jpeg(draw(decode(scene), result))
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_a_photo_that_cannot_be_read_gives_no_picture(tmp_path, capsys):
    (tmp_path / "photo.jpg").write_text("no photo")
    out = tmp_path / "result.png"
    assert (
        main(["run", str(tmp_path / "photo.jpg"), "--vocabulary", *WORDS, "--bundle", "tiny", "--output", str(out)])
        == 3
    )
    assert "FORMAT" in capsys.readouterr().err
    assert not out.exists()


def test_one_picture_holds_no_more_than_one_photo(scene, tmp_path, capsys):
    words = ["--vocabulary", *WORDS, "--output", tmp_path / "result.png"]
    assert "of 2 photos: name a folder" in refused(capsys, scene, "--image", scene.with_name("05.png"), *words)
    assert "--save-dense needs a folder" in refused(capsys, scene, *words, "--save-dense")


def test_a_folder_may_be_named_like_a_picture(scene, tmp_path):
    out = tmp_path / "results.png"
    out.mkdir()
    assert (
        main(["run", str(scene), "--vocabulary", *WORDS, "--bundle", "tiny", "--no-loftup", "--output", str(out)]) == 0
    )
    assert (out / "semantic" / "04.png").is_file()


def test_what_is_missing_is_named(scene, tmp_path, capsys):
    words = ["--vocabulary", *WORDS, "--output", tmp_path]
    assert "no photo is named" in refused(capsys, *words)
    assert "--model-cfg describes a checkpoint" in refused(capsys, scene, *words, "--model-cfg", "sam2_hiera_l.yaml")
    assert "no such SAM2 checkpoint" in refused(capsys, scene, *words, "--checkpoint", tmp_path / "sam2_hiera_large.pt")
