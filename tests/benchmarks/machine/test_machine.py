"""What the measurements share: child processes and Markdown tables."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from wordmask_bench.machine.child_process import kill_session, start_module
from wordmask_bench.machine.markdown import markdown_table

PARENT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(os.environ["WORDMASK_CACHE"], os.environ["EXTRA"], child.pid, flush=True)
child.wait()
"""


def test_a_module_is_ended_with_all_that_it_started(tmp_path, monkeypatch):
    (tmp_path / "parent_of_a_sleeper.py").write_text(PARENT)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    process = start_module(
        ["parent_of_a_sleeper"],
        {"EXTRA": "yes"},
        tmp_path / "cache",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    with process.stdout:
        cache, extra, child = process.stdout.readline().decode().split()
        kill_session(process)
    assert (cache, extra) == (str(tmp_path / "cache"), "yes")
    assert process.returncode < 0
    deadline = time.monotonic() + 10
    while is_running(int(child)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(int(child))


def is_running(pid):
    """Whether a process computes or sleeps; one that has ended may wait for its parent."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_table_escapes_bars_and_has_a_column_for_each_heading():
    assert markdown_table(("", "a"), [("x|y", "1"), ("z", "")]) == [
        "| | a |",
        "|---|---|",
        "| x\\|y | 1 |",
        "| z |  |",
    ]
