"""What runs on a cluster are made of, without a cluster: a mirrored journal, workers' deaths, room for workers."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="the extra ray is not installed")

from wordmask.cli import main
from wordmask.distributed.cluster import ClusterResources, connected
from wordmask.distributed.crash_counts import MAX_CONSECUTIVE_CRASHES, MAX_CONSECUTIVE_LOADS, CrashCounts
from wordmask.distributed.journal_mirror import mirrored
from wordmask.distributed.shared_lock import SharedExclusiveLock
from wordmask.errors import ClusterError
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.photo.url import Url


def paths(jobs):
    return [str(job.path) for job in jobs]


def test_the_journal_of_a_remote_run_begins_with_what_stands_there_and_is_copied_when_it_grew(memory):
    out = RemoteFolder(Url("memory://out"))
    out.home.mkdir(parents=True)
    (out.home / "journal.jsonl").write_text("of a run that was not copied in time\n")
    out.write({"journal.jsonl": [b"1\n"]})
    with mirrored(out) as mirror:
        assert mirror.journal.read_bytes() == b"1\n"
        with mirror.journal.open("ab") as journal:
            journal.write(b"2\n")
        mirror.touch()
        assert memory.cat("/out/journal.jsonl") == b"1\n"  # not yet time
    assert memory.cat("/out/journal.jsonl") == b"1\n2\n"
    memory.rm("/out/journal.jsonl")
    with mirrored(out) as mirror:
        assert not mirror.journal.exists()
    assert not memory.exists("/out/journal.jsonl")


def test_a_photo_is_blamed_for_the_deaths_at_work_on_it_alone():
    crashes = CrashCounts(workers=1)
    assert crashes.assign(["a", "b", "c"], [0, 0, 1]) == [0, 0, 1]
    crashes.begin("a")
    crashes.end("a")
    crashes.begin("b")
    assert crashes.assign(["a", "b", "c"], [0, 0, 1]) == [0, 1, 1]
    crashes.begin("c")
    assert crashes.assign(["a", "b", "c"], [0, 0, 1]) == [0, 1, 2]


def test_a_photo_that_wants_to_be_alone_waits_for_the_others_and_keeps_newcomers_out():
    lock, log, first, second = SharedExclusiveLock(), [], threading.Event(), threading.Event()

    def together(name, begun, go_on):
        with lock.shared():
            begun.set()
            go_on.wait(10)
            log.append(name)

    def alone():
        with lock.exclusive():
            log.append("alone begins")
            time.sleep(0.05)  # long enough for a newcomer to come in
            log.append("alone ends")

    with ThreadPoolExecutor(3) as pool:
        begun = threading.Event()
        pool.submit(together, "before", begun, first)
        assert begun.wait(10)
        pool.submit(alone)
        while not lock._exclusive:
            time.sleep(0.001)
        pool.submit(together, "after", threading.Event(), second)
        second.set()
        first.set()
    assert log == ["before", "alone begins", "alone ends", "after"]


def test_workers_that_die_without_finishing_a_photo_are_given_up():
    crashes = CrashCounts(workers=2)
    for number in range(2 * MAX_CONSECUTIVE_CRASHES - 1):
        crashes.begin(str(number))
        assert crashes.assign([str(number)], [0]) == [1]
    crashes.begin("last")
    assert crashes.assign(["last"], [0]) is None
    crashes.end("other")
    assert crashes.assign(["last"], [0]) == [1]


def test_bundles_that_end_each_process_that_loads_them_are_given_up():
    crashes = CrashCounts(workers=1)
    assert [crashes.begin_load() for _ in range(MAX_CONSECUTIVE_LOADS + 1)] == [True] * MAX_CONSECUTIVE_LOADS + [False]
    crashes.end_load()
    assert crashes.begin_load()


@pytest.mark.parametrize(
    ("resources", "threads"),
    [(ClusterResources(workers=1), 16), (ClusterResources(workers=3), 8), (ClusterResources(workers=100), 1),
     (ClusterResources(workers=4, gpus=0.5), 4), (ClusterResources(workers=2, threads=3), 3)],
    ids=["one", "three", "more than cores", "half GPUs", "as told"],
)  # fmt: skip
def test_workers_share_the_cores_of_the_cluster(resources, threads):
    nodes = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 8.0}, {}]
    if resources.workers == 100:
        with pytest.raises(ClusterError, match="room for 24 workers, not for 100 of 1 cores and 0 GPUs each"):
            resources.threads_per_worker(nodes)
    else:
        assert resources.threads_per_worker(nodes) == threads


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_refused_at_once(address):
    resources = ClusterResources(address)
    with pytest.raises(ClusterError, match=f"no cluster of Ray at '{address}'"), connected(resources, 1):
        pass


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["s3://bucket/photos", "--output", "out"], "s3://bucket/photos is a URL: it is read and written with --ray"),
        (["photos", "--output", "s3://bucket/out"], "s3://bucket/out is a URL"),
        (["photos", "--output", "out", "--workers", "2"], "--workers and --gpus-per-worker belong to --ray"),
        (["photos", "--output", "out", "--ray", "--device", "cuda"], "say how many with --gpus-per-worker"),
        (["photos", "--output", "out", "--ray"], "pip install '.[ray]'"),
    ],
    ids=["photos", "output", "workers", "GPUs", "not installed"],
)
def test_what_needs_ray_says_so(arguments, told, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main.main(["run", arguments[0], "--vocabulary", "cat", *arguments[1:]]) == 2
    assert told in capsys.readouterr().err
    assert not Path("out").exists()
