"""The benchmark's two sides do the same work, and the command runs from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from wordmask.bundle.opening import open_bundle
from wordmask.cli.main import main
from wordmask.errors import BundleError
from wordmask.objects.instances import make_instances
from wordmask.objects.sam2 import MaskDecoder, decode_prompts
from wordmask.photo.reading import decode
from wordmask.text.vocabulary import Vocabulary
from wordmask.types import Options
from wordmask_bench.speed.report import read_report
from wordmask_bench.speed.side import LIKE_PYTORCH, Setup, grid_prompts
from wordmask_bench.speed.side_process import BenchError, SideProcess, closing_all
from wordmask_bench.speed.smooth import smooth_class_map
from wordmask_bench.speed.torch_side import EagerSide
from wordmask_bench.speed.wordmask_side import WordmaskSide
from wordmask_bench.torch_baseline.chain import Masks
from wordmask_bench.torch_baseline.files import ModelFiles
from wordmask_bench.torch_baseline.masks import keep_masks
from wordmask_bench.torch_baseline.models import check_weights, load_models

WORDS = Vocabulary.parse(["cat, kitten", "wall"], ["sky", "grass"])
POINTS = 6


@pytest.fixture(scope="module")
def setup(small_bundle, data) -> Setup:
    return Setup(
        variant="wordmask",
        bundle=str(small_bundle),
        device="cpu",
        threads=1,
        vocabulary=WORDS,
        options=Options(min_confidence=0.0, min_region_size=500, **LIKE_PYTORCH),
        grid=POINTS,
        points=POINTS,
        models=ModelFiles(clip=str(data / "small_clip.json"), sam2=str(data / "small_sam2.yaml")),
    )


@pytest.fixture(scope="module")
def photo(examples, tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "cat.png"
    Image.open(examples / "chelsea.jpg").resize((150, 100)).save(path)
    return path


@pytest.fixture(scope="module")
def sides(setup, tmp_path_factory):
    """wordmask's side and two forms of PyTorch's, with the same words."""
    ours, eager = WordmaskSide(setup), EagerSide(replace(setup, variant="eager"))
    words = tmp_path_factory.mktemp("words") / "words.npy"
    for side in (ours, eager):
        side.words(words)
    return ours, eager


@pytest.mark.parametrize("windows", ["one", "default"])
@pytest.mark.parametrize("variant", ["eager", "batched"])
def test_both_sides_give_the_same_class_map_and_masks(sides, photo, windows, variant):
    engine, eager = sides
    for side in sides:
        side.windows(windows)
    eager.setup = replace(eager.setup, variant=variant)
    prompts = engine.prompts(photo)
    (dense, masks), (eager_dense, eager_masks) = (side.answers(photo, prompts) for side in sides)
    assert len(prompts) == len(masks) == POINTS
    assert (dense == eager_dense).mean() > 0.998
    assert len(np.unique(dense)) > 1
    assert (masks == eager_masks).mean() > 0.995
    assert 0 < masks.mean() < 1


def test_the_grid_takes_the_place_of_the_photos_own_prompts(sides, photo, tmp_path):
    engine, _ = sides
    engine.windows("one")
    stages = engine.photo(photo, [], tmp_path)
    journal = json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[-1])
    assert journal["prompts"] == POINTS
    assert stages["prompts"] > 0
    assert (tmp_path / "semantic" / "0.png").is_file()


def test_pytorchs_side_writes_the_same_masks(sides, photo, tmp_path):
    engine, _ = sides
    for side in sides:
        side.windows("one")
        side.photo(photo, engine.prompts(photo), tmp_path / type(side).__name__)
    ours, theirs = (
        np.asarray(Image.open(tmp_path / name / "semantic" / "0.png")) for name in ("WordmaskSide", "EagerSide")
    )
    assert (ours == theirs).mean() > 0.98
    assert len(np.unique(ours)) > 1
    written = [
        json.loads((tmp_path / name).read_text())["annotations"]
        for name in ("WordmaskSide/annotations.json", "EagerSide/0.json")
    ]
    ours, theirs = (sorted((row["category_id"], row["points"], row["score"]) for row in rows) for rows in written)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    np.testing.assert_allclose([row[2] for row in ours], [row[2] for row in theirs], atol=2e-3)


def test_duplicates_are_dropped_by_the_rules_of_the_runtime(sides, photo):
    engine, eager = sides
    picture = decode(photo).copy()
    prompts = grid_prompts(picture.shape[:2], 2 * POINTS, 2)
    constants = engine.segmenter.manifest.sam2
    decoder = MaskDecoder(engine.segmenter.graphs["sam2_decoder"], constants)
    low_res, iou = decode_prompts(decoder, engine.segmenter.encode(picture), prompts)
    class_map, options = smooth_class_map(picture.shape[:2], POINTS, 2), engine.setup.options
    ours = make_instances(
        prompts, low_res, iou, WORDS.names, *class_map, options, mask_threshold=constants.mask_threshold
    )
    found = eager._masks(picture, prompts)
    _, theirs = keep_masks(found, prompts, WORDS.names, *class_map, options.iou_threshold, side=constants.mask_size)
    assert 0 < len(ours) <= len(prompts)
    ours, theirs = (sorted((i.word, i.points.tolist()) for i in found) for found in (ours, theirs))
    assert ours == theirs
    twice = Masks(np.concatenate([found.masks] * 2), np.concatenate([found.iou] * 2))
    _, once = keep_masks(twice, prompts * 2, WORDS.names, *class_map, options.iou_threshold, side=constants.mask_size)
    assert len(once) == len(theirs)


def test_other_weights_than_the_bundles_are_refused(sides, small_bundle):
    _, eager = sides
    manifest = open_bundle(small_bundle).manifest
    check_weights(eager.chain.models, manifest)
    other = {**manifest.models, "clip": replace(manifest.models["clip"], weights_sha256="f" * 64)}
    with pytest.raises(BundleError, match=r"the bundle's clip is small_clip .* ffffffffffff.*--clip-weights"):
        check_weights(eager.chain.models, replace(manifest, models=other))


def test_models_that_cannot_be_found_are_named(small_bundle):
    """The bundle was built from files that its manifest does not lead to."""
    with pytest.raises(BundleError, match=r"no model 'small_clip'.* Name their files with --clip"):
        load_models(open_bundle(small_bundle).manifest, ModelFiles())


def test_a_sides_failure_names_the_side(setup, tmp_path):
    with closing_all() as processes:
        processes.append(SideProcess("wordmask cpu", 1, tmp_path))
        with pytest.raises(BenchError, match=r"wordmask cpu: 'open' failed: BundleError: .*nowhere"):
            processes[0].ask("open", setup={**asdict(setup), "bundle": "/nowhere"})
        processes[0].process.kill()
        with pytest.raises(BenchError, match="wordmask cpu: its process ended with status -9 at 'memory'"):
            processes[0].ask("memory")


def test_the_command_runs_from_end_to_end(small_bundle, data, photo, tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "photos" / name).write_bytes(photo.read_bytes())
    models = ["--clip", str(data / "small_clip.json"), "--sam2", str(data / "small_sam2.yaml")]
    effort = ["--runs", "1", "--seconds", "0", "--warm-up", "0", "--prompts", str(POINTS), "--batch", "2"]
    files = ["--json", str(tmp_path / "bench.json"), "--report", str(tmp_path / "bench.html")]
    places = ["--bundle", str(small_bundle), "--images", str(tmp_path / "photos"), "--windows", "default"]
    words = ["--vocabulary", "cat", "wall", "--background", "none"]
    assert main(["bench", *places, *words, *models, *effort, *files, "--threads", "1"]) == 0
    report = read_report(tmp_path / "bench.json")
    by_name = {row.name: row for row in report.measurements}
    assert list(by_name) == [
        "photo", "clip", "loftup", "class_map", "prompts", "sam2_encoder", "sam2_decoder", "masks", "words"
    ]  # fmt: skip
    for name, row in by_name.items():
        assert set(row.times) == ({"wordmask cpu"} if name == "prompts" else {"wordmask cpu", "eager"})
        assert all(times.runs == 1 and times.median_ms > 0 for times in row.times.values())
    assert by_name["photo"].prompts == by_name["sam2_decoder"].prompts == POINTS
    assert by_name["loftup"].windows == 2
    assert by_name["photo"].gflop > by_name["sam2_encoder"].gflop > 0
    assert [side.peak_mb > 50 for side in report.sides] == [True, True]
    assert report.sides[0].peak_mb < report.sides[1].peak_mb  # torch is in the other process alone
    assert report.throughput[0].photos == 2
    assert report.agreement[0].class_map > 0.99
    assert report.agreement[0].classes == 2
    text = (tmp_path / "bench.json").read_text()
    assert str(tmp_path) not in text
    assert str(small_bundle) not in text
    said = capsys.readouterr()
    assert "photo: a.png" in said.out
    numbered = [line for line in said.err.splitlines() if line.startswith("[")]
    assert [line.partition("]")[0] for line in numbered] == [f"[{n}/{len(numbered)}" for n in range(1, 18)]
    assert numbered[0] == "[1/17] eager: whether PyTorch finds the bundle's models"
    assert all(line.endswith(" left") for line in numbered[4:])
    assert "<h1>wordmask bench</h1>" in (tmp_path / "bench.html").read_text()


def test_without_its_extra_the_command_names_it():
    code = (
        "import sys, importlib.util as util\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, package=None: None if name == 'torch' else find(name, package)\n"
        "from wordmask.cli.main import main\n"
        "sys.exit(main(['bench', '--images', 'photos']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "wordmask bench needs the package 'torch'" in done.stderr
    assert "pip install '.[export]'" in done.stderr
