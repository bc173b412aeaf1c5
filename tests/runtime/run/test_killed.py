"""Runs in processes of their own that are killed, interrupted, starved of disk, or ended by a photo."""

from __future__ import annotations

import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from folder_runs import command, results, rows, run, start, statuses
from stub_segmenter import Trouble, write_photos
from wordmask.run import supervisor
from wordmask.system.files import TEMPORARY

SUPPORT = str(Path(__file__).parents[2] / "support")
SITE = """
import os, sys
if "WORDMASK_WORKER" in os.environ or "STUB_EVERYWHERE" in os.environ:
    sys.path.append({here!r})
    import stub_segmenter
    stub_segmenter.install()
"""


@pytest.fixture(scope="module")
def stub_environment(tmp_path_factory):
    """An environment in which `python -m wordmask` segments with StubSegmenter."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "sitecustomize.py").write_text(SITE.format(here=SUPPORT))
    path = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "STUB_DELAY": "0.02"}


def wait_for(condition, process, seconds=30.0):
    """Until the condition holds or the process ends."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def started(out):
    """Whether a run has begun with photos since the call."""
    journal = out / "journal.jsonl"
    before = journal.stat().st_mtime_ns if journal.exists() else 0
    return lambda: journal.exists() and journal.stat().st_mtime_ns != before


def statuses_so_far(out):
    """Of a journal that is being written."""
    return re.findall(r'"status": "(\w+)"', (out / "journal.jsonl").read_text())


def kill(process):
    """Ends supervisor and worker in one blow, as a loss of power would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_supervisor_and_worker_killed_in_one_blow_change_nothing(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 8, {4: Trouble.NAN}), tmp_path / "out"
    moments = random.Random(1)
    for _ in range(3):
        begun = started(out)
        process = start(photos, out, stub_environment)
        wait_for(begun, process)
        time.sleep(moments.uniform(0, 0.05))
        kill(process)
    for place in (out, tmp_path / "whole"):
        done = subprocess.run(command(photos, place), env=stub_environment, capture_output=True, check=False)
        assert done.returncode == 3
    assert results(out) == results(tmp_path / "whole")


# Runs in processes forked from one that has all modules loaded: a start takes a tenth of the time.
FORKING = """
import os, pathlib, random, signal, sys, time

sys.path.insert(0, {here!r})
import folder_runs, stub_segmenter
from wordmask.cli.main import main
from wordmask.outputs.journal import Journal, row_bytes

stub_segmenter.install()

def forked(work, *arguments):
    process = os.fork()
    if not process:
        try:
            os.dup2(2, 1)  # what a run says
            os._exit(work(*arguments))
        finally:
            os._exit(70)
    return process
"""


def forking(script, *arguments, **environment):
    """What a script behind FORKING prints."""
    code = FORKING.format(here=SUPPORT) + script
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


KILLED_AGAIN_AND_AGAIN = """
photos, out, whole, kills = pathlib.Path(sys.argv[1]), *map(pathlib.Path, sys.argv[2:4]), int(sys.argv[4])
moments = random.Random(2)

def run(out):
    return main(folder_runs.command(photos, out)[3:])

def changed():
    return journal.stat().st_mtime_ns if journal.exists() else 0

def wait(process, seconds, over=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not over() and not os.waitid(os.P_PID, process, ended):
        time.sleep(0.002)

undisturbed = forked(run, whole)
journal, ended = out / "journal.jsonl", os.WEXITED | os.WNOHANG | os.WNOWAIT
for kill in range(kills):
    before = changed()
    process = forked(run, out)
    if moments.random() < 0.8:
        wait(process, 30, lambda: changed() != before)
        wait(process, moments.uniform(0, 0.08))
    else:
        wait(process, moments.uniform(0, 0.1))  # also while it looks at what is there
    os.kill(process, signal.SIGKILL)
    if os.WIFSIGNALED(os.waitpid(process, 0)[1]):
        print("killed")
for process in (forked(run, out), undisturbed):
    print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_fifty_kills_over_sixty_photos_change_nothing(tmp_path):
    photos = write_photos(tmp_path / "in", 60, {4: Trouble.NAN})
    (photos / "007.png").write_bytes((photos / "007.png").read_bytes()[:60])
    out, whole = tmp_path / "out", tmp_path / "whole"
    said = forking(KILLED_AGAIN_AND_AGAIN, photos, out, whole, 50, STUB_DELAY="0.05")
    assert said == ["killed"] * 50 + ["3", "3"]
    ours = results(out)
    assert ours == results(whole)
    assert len(ours["journal.jsonl"]) == 60


KILLED_AT = """
def last_call():
    global calls
    calls += 1
    return calls == number

def die():
    os.kill(os.getpid(), signal.SIGKILL)

replace, append = pathlib.Path.replace, Journal.append

def replaced(path, target):
    last = last_call()
    if last and point == "before":
        die()
    replace(path, target)
    if last:
        die()

def appended(journal, row):
    if last_call():
        journal._file.write(row_bytes(row)[:40])
        die()
    append(journal, row)

def run(out):
    if point == "within":
        Journal.append = appended
    else:
        pathlib.Path.replace = replaced
    folder_runs.run(photos, out, in_flight=1)

photos, folder = map(pathlib.Path, sys.argv[1:3])
for name in sys.argv[3:]:
    calls, (point, number) = 0, name.split("-")
    number = int(number)
    print(os.waitstatus_to_exitcode(os.waitpid(forked(run, folder / name), 0)[1]))
"""

POINTS = [
    "before-1",  # the empty journal
    "before-2",  # the first run.json
    "before-5",  # the second photo's first output
    "after-5",
    "after-6",  # its last, and no row
    "within-1",  # the first photo's `started`
    "within-5",  # the second photo's row
    "before-15",  # the finished journal
    "before-16",  # annotations.json
    "after-16",
]


@pytest.fixture(scope="module")
def killed_at_points(tmp_path_factory):
    """A folder with photos, the results of a run over them, and those of runs that were killed."""
    folder = tmp_path_factory.mktemp("points")
    photos = write_photos(folder / "in", 6)
    assert forking(KILLED_AT, photos, folder, *POINTS) == [str(-signal.SIGKILL)] * len(POINTS)
    run(photos, folder / "whole")
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_a_rename_or_in_mid_journal_ends_with_the_same_bytes(killed_at_points, point):
    run(killed_at_points / "in", killed_at_points / point)
    assert results(killed_at_points / point) == results(killed_at_points / "whole")


def test_a_photo_that_ends_the_process_twice_is_quarantined(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 8, {3: Trouble.KILLS}), tmp_path / "out"
    process = start(photos, out, stub_environment)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert {name for name, status in statuses(out).items() if status != "ok"} == {"003"}
    (row,) = (row for row in rows(out) if row["name"] == "003")
    assert row["status"] == "QUARANTINED"
    assert "--retry-quarantined" in row["error"]
    assert len(re.findall("the process died of SIGKILL at work on", error)) == 2
    assert not list(out.rglob("003.*"))
    write_photos(tmp_path / "other", 8)
    (tmp_path / "other" / "003.png").replace(photos / "003.png")  # what ended it is gone
    for arguments, status in (((), "QUARANTINED"), (("--retry-quarantined",), "ok")):
        again = subprocess.run(command(photos, out, *arguments), env=stub_environment, capture_output=True, check=False)
        assert (again.returncode == 0) == (status == "ok")
        assert statuses(out)["003"] == status


def test_restart_clears_once_and_not_after_each_death(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 3, {1: Trouble.KILLS}), tmp_path / "out"
    process = start(photos, out, stub_environment, "--restart")
    _, error = process.communicate(timeout=60)
    assert process.returncode == 3, error
    assert statuses(out) == {"000": "ok", "001": "QUARANTINED", "002": "ok"}


def test_photos_that_end_the_process_only_together_are_done_one_by_one(tmp_path, stub_environment):
    troubles = {2: Trouble.KILLS_BESIDE_ANOTHER, 3: Trouble.KILLS_BESIDE_ANOTHER}
    photos, out = write_photos(tmp_path / "in", 6, troubles), tmp_path / "out"
    process = start(photos, out, stub_environment)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert set(statuses(out).values()) == {"ok"}


def test_workers_that_die_without_finishing_a_photo_are_not_started_for_ever(tmp_path, monkeypatch):
    started_workers = []

    def dies(arguments, dead):
        number = len(started_workers)
        started_workers.append(number)
        with (tmp_path / "journal.jsonl").open("a") as journal:
            journal.write(json.dumps({"photo": "x.jpg", "name": "x", "status": "started", "process": number}) + "\n")
        return number, -signal.SIGSEGV

    monkeypatch.setattr(supervisor, "_run_worker", dies)
    messages = []
    assert supervisor.supervise(["run"], tmp_path, messages.append) == 1
    assert len(started_workers) == supervisor.MAX_CONSECUTIVE_CRASHES
    assert messages[-1] == "the process died of SIGSEGV, time 10 in a row"


def test_a_worker_that_dies_before_the_first_photo_is_not_started_again(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "_run_worker", lambda arguments, dead: (1, -signal.SIGSEGV))
    messages = []
    assert supervisor.supervise(["run"], tmp_path, messages.append) == 1
    assert messages == ["the process died of SIGSEGV, not at work on a photo"]


def test_the_worker_ends_with_its_supervisor(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 6, {2: Trouble.STUCK}), tmp_path / "out"
    begun = started(out)
    process = start(photos, out, stub_environment)
    wait_for(begun, process)
    os.kill(process.pid, signal.SIGKILL)  # the worker is left alone
    process.communicate()
    write_photos(tmp_path / "in", 6)
    again = start(photos, tmp_path / "out", stub_environment, "--restart")
    _, error = again.communicate(timeout=30)
    assert again.returncode == 0, error


@pytest.mark.parametrize(
    ("moment", "number", "status"),
    [("loading", signal.SIGTERM, 143), ("busy", signal.SIGINT, 130)],
    ids=["loading", "busy"],
)
def test_a_signal_ends_the_run_within_two_seconds(tmp_path, stub_environment, moment, number, status):
    photos, out = write_photos(tmp_path / "in", 200), tmp_path / "out"
    process = start(photos, out, {**stub_environment, "STUB_LOADING": "60" if moment == "loading" else "0"})
    if moment == "loading":
        time.sleep(1)
    else:
        wait_for(lambda: (out / "journal.jsonl").exists() and "ok" in statuses_so_far(out), process)
    sent = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - sent < 3  # 2 s on a free machine
    assert process.returncode == status, error
    assert "Traceback" not in error
    if moment == "busy":
        done = [row for row in rows(out) if row["status"] == "ok"]
        assert len(json.loads((out / "annotations.json").read_text())["images"]) == len(done) > 0
        assert json.loads((out / "run.json").read_text())["finished"] is False


def test_a_signal_ends_a_stuck_run_that_nobody_watches_too(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 6, {3: Trouble.STUCK}), tmp_path / "out"
    script = "import sys; from wordmask.cli.main import main; sys.exit(main(sys.argv[1:]))"
    arguments = [sys.executable, "-c", script, *command(photos, out)[3:]]
    begun = started(out)
    process = subprocess.Popen(
        arguments, env={**stub_environment, "STUB_EVERYWHERE": "1"}, stderr=subprocess.PIPE, text=True
    )
    wait_for(begun, process)
    time.sleep(0.3)
    sent = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert time.monotonic() - sent < 3  # 2 s on a free machine
    assert process.returncode == 143, error
    assert "interrupted by SIGTERM" in error


def test_a_second_signal_ends_the_run_at_once(tmp_path, stub_environment):
    photos = write_photos(tmp_path / "in", 3, {0: Trouble.STUCK})
    begun = started(tmp_path / "out")
    process = start(photos, tmp_path / "out", stub_environment)
    wait_for(begun, process)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - sent < 0.8
    assert process.returncode == -signal.SIGINT


def test_a_file_size_limit_is_exit_status_4_and_the_run_can_be_continued(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 6, side=200), tmp_path / "out"

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, resource.RLIM_INFINITY))

    process = start(photos, out, stub_environment, preexec_fn=little_room)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 4, error
    assert "cannot write" in error
    assert "File too large" in error
    assert not list(out.rglob(f"{TEMPORARY}*"))
    subprocess.run(command(photos, out), env=stub_environment, capture_output=True, check=True)
    assert set(statuses(out).values()) == {"ok"}


def test_a_second_run_is_refused_with_exit_status_2(tmp_path, stub_environment):
    photos, out = write_photos(tmp_path / "in", 4, {3: Trouble.STUCK}), tmp_path / "out"
    begun = started(out)
    first = start(photos, out, stub_environment)
    wait_for(begun, first)
    second = subprocess.run(
        command(photos, out), env=stub_environment, capture_output=True, text=True, check=False, timeout=30
    )
    kill(first)
    assert second.returncode == 2
    assert f"writes to {out}: wait for its end or give another --output" in second.stderr
