"""Runs on a local cluster of Ray: the outputs of a plain run, whatever becomes of the workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray.data", reason="the extra ray is not installed")

import ray

from folder_runs import results, run, statuses
from ray_stub import StubLoader
from stub_segmenter import StubSegmenter, Trouble, write_photos
from wordmask.cli import main
from wordmask.distributed.cluster import ClusterResources, connected
from wordmask.distributed.driver import photos_per_task, run_on_cluster
from wordmask.distributed.worker import SegmenterLoader
from wordmask.errors import ClusterError
from wordmask.run.find_photos import find_photos
from wordmask.run.request import OutputOptions, RunControl, RunRequest, SegmenterInfo
from wordmask.system.files import TEMPORARY
from wordmask.text.vocabulary import Vocabulary

pytestmark = pytest.mark.servers

ROOT = Path(__file__).parents[3]
SCENES = ROOT / "examples" / "scenes"
WORDS = ("red", "green")
OUTPUTS = OutputOptions(overlay=True, save_dense=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers' room, and processes that find what stands in for a segmenter."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    patch.setenv("WORDMASK_CACHE", str(tmp_path_factory.mktemp("cache")))
    with connected(ClusterResources("local", 2, 1), 2):
        yield
    patch.undo()


@pytest.fixture
def stub(cluster, tmp_path):
    """Makes a worker's stub segmenter; `stub.processes` holds the workers' numbers."""
    (tmp_path / "processes").mkdir()
    return StubLoader(tmp_path / "processes")


def on_cluster(photos, out, loader, *, workers=2, retry_quarantined=False, **control):
    """A run on the cluster."""
    segmenter = StubSegmenter()
    request = RunRequest(
        find_photos([photos]),
        segmenter.embed(Vocabulary.parse(WORDS)),
        out,
        outputs=OUTPUTS,
        retry_quarantined=retry_quarantined,
        settings={"vocabulary": list(WORDS)},
    )
    info = SegmenterInfo.of(segmenter, request.options)
    return run_on_cluster(request, info, loader, ClusterResources("local", workers, 1), RunControl(**control))


def plainly(photos, out):
    """What stands in the folder after a plain run of the same."""
    run(photos, out, words=WORDS, outputs=OUTPUTS)
    return results(out)


def test_the_outputs_are_those_of_a_plain_run_bad_photos_included(stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = write_photos(Path("in"), 14, {3: Trouble.NAN, 5: Trouble.BUG, 8: Trouble.OUT_OF_MEMORY_BESIDE_ANOTHER})
    (photos / "006.png").write_bytes((photos / "006.png").read_bytes()[:60])
    told = []
    on_cluster(photos, tmp_path / "out", stub, log=told.append)
    assert results(tmp_path / "out") == plainly(photos, tmp_path / "plain")
    assert "INTERNAL: ZeroDivisionError: a bug" in told
    assert "ERROR: this should not happen, please report it" in told


def test_the_command_joins_a_cluster_and_gives_the_outputs_of_a_plain_run(cluster, fast_tiny, tmp_path):
    photos = tmp_path / "in"
    photos.mkdir()
    for name in ("01.png", "03.png"):
        shutil.copy(SCENES / name, photos)
    words = ["--vocabulary", "red striped", "blue plain", "green", "--bundle", str(fast_tiny), "--threads", "1"]
    arguments = ["run", str(photos), *words, "--overlay", "--save-dense", "--output"]
    address = ray.get_runtime_context().gcs_address
    joined = [sys.executable, "-m", "wordmask", *arguments, str(tmp_path / "out"), "--ray", address]
    done = subprocess.run(joined, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 photos" in done.stdout
    assert main.main([*arguments, str(tmp_path / "plain")]) == 0
    assert results(tmp_path / "out") == results(tmp_path / "plain")


def test_a_worker_that_is_killed_loses_nothing(stub, tmp_path):
    photos = write_photos(tmp_path / "in", 16)
    plain = plainly(photos, tmp_path / "plain")
    killed = []

    def kill_one(done):
        if not killed:
            killed.append(int(next(stub.processes.iterdir()).name))
            os.kill(killed[0], signal.SIGKILL)
            (tmp_path / "out" / "semantic" / f"{TEMPORARY}0").write_bytes(b"half a file that it was writing")

    loader = StubLoader(stub.processes, delay=0.1)
    on_cluster(photos, tmp_path / "out", loader, progress=kill_one)
    assert len(list(stub.processes.iterdir())) == 3  # one came in the dead one's place
    assert results(tmp_path / "out") == plain


def test_a_photo_that_ends_its_worker_twice_is_quarantined_and_the_others_are_done(stub, tmp_path):
    photos, out = write_photos(tmp_path / "in", 5, {1: Trouble.KILLS}), tmp_path / "out"
    on_cluster(photos, out, stub)
    assert statuses(out) == {"000": "ok", "001": "QUARANTINED", "002": "ok", "003": "ok", "004": "ok"}
    deaths = len(list(stub.processes.iterdir()))
    on_cluster(photos, out, stub, retry_quarantined=True)
    assert statuses(out)["001"] == "QUARANTINED"
    assert len(list(stub.processes.iterdir())) - deaths == 2  # the worker, and one more after a single death


def test_a_worker_that_dies_while_it_loads_ends_the_run(stub, tmp_path):
    photos = write_photos(tmp_path / "in", 2)
    loader = StubLoader(stub.processes, dies=True)
    with pytest.raises(ClusterError, match="the process dies each time it loads the bundle"):
        on_cluster(photos, tmp_path / "out", loader, workers=1)
    assert len(list(stub.processes.iterdir())) == 3


def test_a_continued_run_does_only_what_is_left_and_plain_runs_and_these_continue_each_other(stub, tmp_path):
    photos, out = write_photos(tmp_path / "in", 6), tmp_path / "out"
    later = photos / "005.png"
    later.rename(tmp_path / "later.png")
    plainly(photos, out)
    (tmp_path / "later.png").rename(later)
    (out / "semantic" / "002.png").unlink()
    told, done = [], []
    on_cluster(photos, out, stub, log=told.append, progress=done.append, workers=1)
    assert told[0] == "continued: 4 of 6 photos are done"
    assert done == [4, 5, 6]
    assert results(out) == plainly(photos, tmp_path / "plain")


@pytest.mark.parametrize(
    ("name", "told"),
    [("tiny", "is another bundle than the driver's: "), ("nobody-has-this", "no bundle named 'nobody-has-this'")],
    ids=["different", "missing"],
)
def test_a_bundle_that_a_worker_does_not_have_is_one_clear_error(cluster, tmp_path, monkeypatch, name, told):
    photos = write_photos(tmp_path / "in", 3)
    loader = SegmenterLoader(tmp_path / "only-on-the-driver", name, "another", "cpu", None, 1, "fp16")
    with pytest.raises(ClusterError, match=told) as refusal:
        on_cluster(photos, tmp_path / "out", loader, workers=1)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("photos", "threads", "size"), [(1, 4, 1), (30, 4, 1), (30, 2, 3), (10**4, 8, 4), (10**6, 8, 50)]
)
def test_a_task_is_small_but_there_are_not_too_many(photos, threads, size):
    assert photos_per_task(photos, threads) == size
