"""Thresholds tuned in seconds: a run goes on from the class maps and encodings that an earlier one kept."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folder_runs import results, run, statuses
from stub_segmenter import StubSegmenter, Trouble, write_photos
from wordmask import Segmenter
from wordmask.bundle.opening import open_bundle
from wordmask.cli.main import main, make_parser
from wordmask.dense.classmap import ClassMap
from wordmask.errors import ResumeError
from wordmask.options import OPTIONS, REUSE_MAY_DIFFER
from wordmask.outputs.layout import CLASS_MAPS, ENCODINGS, INTERMEDIATE
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.photo.job import Job
from wordmask.photo.url import parse_place
from wordmask.run.execution import StoppedError
from wordmask.run.intermediate import Intermediate, IntermediateFiles
from wordmask.run.request import OutputOptions
from wordmask.types import EncodedPhoto, Options

ROOT = Path(__file__).resolve().parents[3]
ALL = OutputOptions(overlay=True, save_dense=True, report=True)
OTHER = Options(min_confidence=0.5)
WORDS = ("green checkered", "blue plain", "blue zigzag", "orange striped")


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "in", 5)


@pytest.fixture
def out(photos, tmp_path):
    """A run of five photos that kept what a later one goes on from."""
    run(photos, tmp_path / "out", keep_intermediate=True)
    return tmp_path / "out"


def outputs(folder):
    """The results of a run without what it kept; bytes, but for times."""
    found = {name: value for name, value in results(folder).items() if not name.startswith("intermediate/")}
    found.pop("report.html", None)  # shows times
    return found


def kept(folder):
    return {path.name: path.read_bytes() for path in (folder / "intermediate").rglob("*") if path.is_file()}


def reuse(photos, out, **settings):
    """A run that reuses: the stub, which counts class maps, and what was said."""
    segmenter, told = settings.pop("segmenter", None) or StubSegmenter(), []
    run(photos, out, segmenter=segmenter, reuse=True, log=told.append, **settings)
    return segmenter, told


class Never:
    """A graph that must not run."""

    preferred_batch_size = None

    def run(self, *arguments, **settings):
        raise AssertionError("this graph must not run")


@pytest.fixture(scope="module")
def tiny(fast_tiny):
    return Segmenter(fast_tiny, threads=2)


def test_a_reused_run_gives_the_bytes_of_a_run_from_nothing_and_runs_the_decoder_alone(tiny, examples, tmp_path):
    (tmp_path / "in").mkdir()
    with Image.open(examples.parent / "scenes" / "01.png") as scene:
        scene.convert("RGB").crop((0, 0, 320, 200)).save(tmp_path / "in" / "a.png")
    other = Options(
        min_confidence=0.5, min_region_size=60, iou_threshold=0.6, across_words_iou=0.9, min_score=0.1,
        mask_pieces="all", mask_choice="region", points_per_region=2, negative_points=2, negative_min_confidence=0.6,
        boxes=True, mask_prompts=False,
    )  # fmt: skip
    free = [name for name in OPTIONS if name in REUSE_MAY_DIFFER]
    assert all(getattr(other, name) != getattr(Options(), name) for name in free)
    settings = {"segmenter": tiny, "words": WORDS}
    first = run(
        tmp_path / "in", tmp_path / "out", keep_intermediate=True, outputs=OutputOptions(report=True), **settings
    )
    fresh = run(tmp_path / "in", tmp_path / "fresh", outputs=ALL, options=other, **settings)
    graphs = {**tiny.graphs, **dict.fromkeys(("clip_image", "loftup", "sam2_encoder"), Never())}
    decoder = Segmenter.from_graphs(tiny.bundle, graphs, on_cpu=True, threads=2)
    _, told = reuse(tmp_path / "in", tmp_path / "out", segmenter=decoder, words=WORDS, options=other, outputs=ALL)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "fresh")
    assert fresh.totals.instances != first.totals.instances
    assert "class maps: 1 reused, 0 computed anew" in told
    stages = json.loads((tmp_path / "out" / "run.json").read_text())["stage_seconds"]
    assert set(stages) == {"decode", "masks", "prompts", "reuse", "sam2_decoder", "write"}


def test_without_an_overlay_no_photo_is_decoded(photos, out, tmp_path, monkeypatch):
    run(photos, tmp_path / "fresh", options=OTHER)
    monkeypatch.setattr("wordmask.run.photo_work.load_unchanged", lambda *_: pytest.fail("a photo was decoded"))
    segmenter, told = reuse(photos, out, options=OTHER)
    assert not segmenter.calls
    assert told == ["class maps: 5 reused, 0 computed anew", "encodings: 5 reused, 0 computed anew"]
    assert outputs(out) == outputs(tmp_path / "fresh")


def test_what_is_kept_does_not_change_the_results(photos, out, tmp_path):
    run(photos, tmp_path / "plain")
    assert outputs(out) == outputs(tmp_path / "plain")
    assert len(kept(out)) == 5
    assert sorted(path.name for path in (out / "intermediate").iterdir()) == ["class_maps", "encodings"]


@pytest.mark.parametrize(
    ("changes", "class_maps", "encodings"),
    [
        ({"words": ("red", "blue")}, 0, 5),
        ({"options": Options(stride=64)}, 0, 5),
        ({"options": Options(pamr=True, min_score=0.1)}, 0, 5),
        ({"segmenter": StubSegmenter(bundle_id="other")}, 0, 0),
        ({"settings": {"device": "cuda"}}, 0, 0),
        ({"outputs": OutputOptions(overlay=True), "options": OTHER}, 5, 5),
    ],
    ids=["words", "stride", "pamr", "bundle", "device", "overlay"],
)
def test_what_changes_class_maps_or_encodings_is_computed_anew_and_said(
    photos, out, tmp_path, changes, class_maps, encodings
):
    changes.setdefault("segmenter", ChosenStub())
    segmenter, told = reuse(photos, out, **changes)
    assert told == [
        f"class maps: {class_maps} reused, {5 - class_maps} computed anew",
        f"encodings: {encodings} reused, {5 - encodings} computed anew",
    ]
    assert len(segmenter.calls) == 5 - class_maps
    changes["segmenter"] = ChosenStub(bundle_id=segmenter.manifest.bundle_id)
    run(photos, tmp_path / "fresh", **changes)
    assert outputs(out) == outputs(tmp_path / "fresh")
    changes["options"] = Options(**{**vars(changes.get("options", Options())), "min_confidence": 0.2})
    assert reuse(photos, out, **changes)[1][0] == "class maps: 5 reused, 0 computed anew"


class ChosenStub(StubSegmenter):
    """Takes any stride."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.manifest.clip = open_bundle("tiny").manifest.clip


def test_a_photo_that_changed_is_computed_anew(photos, out, tmp_path):
    Image.new("RGB", (40, 50), (250, 9, 9)).save(photos / "001.png")
    segmenter, told = reuse(photos, out)
    assert len(segmenter.calls) == 1
    assert told == ["class maps: 4 reused, 1 computed anew", "encodings: 4 reused, 1 computed anew"]
    run(photos, tmp_path / "fresh")
    assert outputs(out) == outputs(tmp_path / "fresh")


def test_photos_that_came_are_added_and_what_was_kept_of_those_that_went_is_removed(photos, out, tmp_path):
    (photos / "001.png").unlink()
    Image.new("RGB", (40, 50), (250, 9, 9)).save(photos / "009.png")
    segmenter, _ = reuse(photos, out)
    assert len(segmenter.calls) == 1
    run(photos, tmp_path / "fresh", keep_intermediate=True)
    assert results(out) == results(tmp_path / "fresh")


@pytest.mark.parametrize("folder", [CLASS_MAPS, ENCODINGS])
def test_damaged_or_missing_files_are_computed_anew_and_kept_again(photos, out, tmp_path, folder):
    files = sorted((out / folder).iterdir())
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(b"")
    files[1].write_bytes(whole[1][:-1])
    files[2].write_bytes(whole[2].replace(b"\n", b" \n", 1)[:200] + bytes(50) + whole[2][250:])
    files[3].unlink()
    _, told = reuse(photos, out, options=OTHER)
    name = folder.rpartition("/")[2].replace("_", " ")
    assert f"{name}: 1 reused, 4 computed anew" in told
    run(photos, tmp_path / "fresh", options=OTHER)
    assert outputs(out) == outputs(tmp_path / "fresh")
    assert [file.read_bytes() for file in files] == whole


def test_one_photos_files_are_not_taken_for_another(photos, out):
    for folder in (CLASS_MAPS, ENCODINGS):
        (out / folder / "000.kept").replace(out / folder / "001.kept")
    segmenter, _ = reuse(photos, out, options=OTHER)
    assert len(segmenter.calls) == 2


def test_a_reusing_run_that_ended_early_is_continued_and_repeats_nothing(photos, out, tmp_path):
    stop = threading.Event()
    with pytest.raises(StoppedError):
        reuse(photos, out, options=OTHER, stop=stop, progress=lambda n: stop.set() if n == 2 else None, in_flight=1)
    assert list(statuses(out).values()).count("ok") == 2
    segmenter, told = reuse(photos, out, options=OTHER)
    assert told == [
        "continued: 2 of 5 photos are done",
        "class maps: 3 reused, 0 computed anew",
        "encodings: 3 reused, 0 computed anew",
    ]
    assert not segmenter.calls
    run(photos, tmp_path / "fresh", options=OTHER)
    assert outputs(out) == outputs(tmp_path / "fresh")
    assert reuse(photos, out, options=OTHER)[1] == ["continued: 5 of 5 photos are done"]


def test_a_photo_that_failed_fails_again_with_its_own_error(tmp_path):
    photos = write_photos(tmp_path / "in", 3, {1: Trouble.NAN})
    run(photos, tmp_path / "out", keep_intermediate=True)
    _, told = reuse(photos, tmp_path / "out", options=OTHER)
    assert statuses(tmp_path / "out") == {"000": "ok", "001": "NUMERIC", "002": "ok"}
    assert told[-1] == "encodings: 2 reused, 0 computed anew"


def test_restart_removes_what_was_kept_and_another_run_leaves_it(photos, out):
    before = kept(out)
    with pytest.raises(ResumeError):
        run(photos, out, options=OTHER)
    run(photos, out)
    assert kept(out) == before
    run(photos, out, restart=True)
    assert not (out / "intermediate").exists()


def test_a_finished_run_is_done_again_to_keep_what_it_did_not(photos, tmp_path):
    run(photos, tmp_path / "out")
    segmenter = StubSegmenter()
    run(photos, tmp_path / "out", segmenter=segmenter, keep_intermediate=True)
    assert len(segmenter.calls) == 5
    run(photos, tmp_path / "whole", keep_intermediate=True)
    assert results(tmp_path / "out") == results(tmp_path / "whole")


def test_a_run_that_cannot_be_continued_is_told_of_reuse(photos, out, tmp_path):
    with pytest.raises(
        ResumeError, match=r"afresh with --restart, or faster with --reuse, from the class maps .* kept$"
    ):
        run(photos, out, options=OTHER)
    with pytest.raises(ResumeError, match=r"start afresh with --restart$"):
        run(photos, out, words=("blue",))
    run(photos, tmp_path / "plain")
    with pytest.raises(
        ResumeError, match=r"\(after a run with --keep-intermediate, --reuse makes such changes faster\)$"
    ):
        run(photos, tmp_path / "plain", options=OTHER)


class OnDevice:
    """A tensor that stays on a device."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype

    def numpy(self):
        return self.values


def test_what_lies_on_a_device_is_kept_in_an_object_store(memory):
    store, job = (
        RemoteFolder(parse_place("memory://bucket/out")),
        Job(parse_place("memory://in/[1].png"), "[1]", 1, (9, "etag")),
    )
    files = IntermediateFiles(store, dict.fromkeys(INTERMEDIATE, "settings"), 300)
    random = np.random.default_rng(1)
    maps = {name: random.random((1, 2, 3), np.float32) for name in ("image_embed", "high_res_0", "high_res_1")}
    class_map = ClassMap(
        random.integers(0, 300, (4, 5)).astype(np.int32), random.random((4, 5), np.float32), np.ones(300, np.float32)
    )
    encoded = EncodedPhoto({name: OnDevice(array) for name, array in maps.items()}, (4, 5))
    labels = random.integers(0, 300, (4, 5)).astype(np.uint16)
    files.write(job, Intermediate(class_map, encoded, labels, ("a note",)), set(INTERMEDIATE))
    found = files.read(job)
    assert (found.notes, found.encoded.size) == (("a note",), (4, 5))
    for name, array in maps.items():
        np.testing.assert_array_equal(found.encoded.maps[name], array)
    for name in ("index", "confidence", "best"):
        np.testing.assert_array_equal(getattr(found.class_map, name), getattr(class_map, name))
        assert getattr(found.class_map, name).dtype == getattr(class_map, name).dtype
    np.testing.assert_array_equal(found.bilinear, labels)
    assert files.read(Job(job.path, "[1]", 1, (9, "other"))).kinds == frozenset()


def test_the_help_and_the_page_list_what_may_change(capsys):
    assert set(REUSE_MAY_DIFFER) == {
        *(name for name, (_, info) in OPTIONS.items() if not info.class_map), "overlay", "save_dense", "report"
    }  # fmt: skip
    with pytest.raises(SystemExit):
        make_parser().parse_args(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    listed = re.search(r"where more has changed than (.*), they are computed anew", text)
    flags = [f"--{name.replace('_', '-')}" for name in REUSE_MAY_DIFFER]
    assert listed[1].replace(" ", "") == ",".join(flags)
    page = (ROOT / "docs" / "thresholds.md").read_text(encoding="utf-8")
    _, found = page.split("These may change between the two:\n\n")
    assert " ".join(found.split("\n\n")[0].split()) == ", ".join(f"`{flag}`" for flag in flags)


def test_reuse_and_restart_exclude_each_other_and_one_picture_keeps_nothing(photos, tmp_path, capsys):
    command = ["run", str(photos / "000.png"), "--vocabulary", "red", "--output"]
    with pytest.raises(SystemExit):
        make_parser().parse_args([*command, "out", "--reuse", "--restart"])
    assert "--restart: not allowed with argument --reuse" in capsys.readouterr().err
    for option in ("--reuse", "--keep-intermediate"):
        assert main([*command, str(tmp_path / "o.png"), option]) == 2
        assert f"is one picture, {option} needs a folder" in capsys.readouterr().err
