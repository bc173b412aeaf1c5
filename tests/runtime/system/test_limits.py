"""Processors and memory: the least limit counts, wherever it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wordmask.system.limits import Limits

MANY = set(range(64))
GIB = 1 << 30


@pytest.fixture(autouse=True)
def _big_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: MANY, raising=False)
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 64 * GIB // 4096}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)


def limits(root: Path, membership: str, files: dict[str, str], **environment: str) -> Limits:
    for name, content in files.items():
        (root / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / name).write_text(f"{content}\n")
    (root / "membership").write_text(membership)
    return Limits(root / "cgroup", root / "membership", environment)


V1 = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/docker/abc\n"
CPUS = {
    "none": ("0::/\n", {}, {}, 64),
    "v2 in a container": ("0::/\n", {"cpu.max": "300000 100000"}, {}, 3),
    "v2 without a limit": ("0::/\n", {"cpu.max": "max 100000"}, {}, 64),
    "v2 below": (
        "0::/a/b\n",
        {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000", "cpu.max": "400000 100000"},
        {},
        2,
    ),
    "v2 path of the host": ("0::/docker/abc\n", {"cpu.max": "250000 50000"}, {}, 5),
    "v2 beside v1": ("1:cpu:/\n0::/\n", {"unified/cpu.max": "600000 100000"}, {}, 6),
    "less than one": ("0::/\n", {"cpu.max": "20000 100000"}, {}, 1),
    "a part more": ("0::/\n", {"cpu.max": "250000 100000"}, {}, 2),
    "nonsense": ("0::/\n", {"cpu.max": "a b c"}, {}, 64),
    "v1": (
        V1,
        {"cpu,cpuacct/docker/abc/cpu.cfs_quota_us": "400000", "cpu,cpuacct/docker/abc/cpu.cfs_period_us": "100000"},
        {},
        4,
    ),
    "v1 in a container": (V1, {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "50000"}, {}, 3),
    "v1 without a limit": (V1, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, {}, 64),
    "threads": ("0::/\n", {"cpu.max": "900000 100000"}, {"OMP_NUM_THREADS": "7"}, 7),
    "threads of levels": ("0::/\n", {}, {"OMP_NUM_THREADS": "5,2"}, 5),
    "more threads than the quota": ("0::/\n", {"cpu.max": "300000 100000"}, {"OMP_NUM_THREADS": "8"}, 3),
    "no number of threads": ("0::/\n", {}, {"OMP_NUM_THREADS": "all"}, 64),
    "no threads": ("0::/\n", {}, {"OMP_NUM_THREADS": "0"}, 64),
}


@pytest.mark.parametrize("case", CPUS)
def test_the_least_limit_of_processors_counts(tmp_path, case):
    membership, files, environment, expected = CPUS[case]
    assert limits(tmp_path, membership, files, **environment).processors() == expected


def test_affinity_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 9}, raising=False)
    assert limits(tmp_path, "0::/\n", {"cpu.max": "300000 100000"}).processors() == 2


def test_a_machine_without_control_groups_has_what_it_has(tmp_path):
    nothing = Limits(tmp_path / "none", tmp_path / "none", {})
    assert (nothing.processors(), nothing.memory()) == (64, 64 * GIB)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"memory.max": "max"}, 64),
        ("0::/\n", {"memory.max": str(2 * GIB)}, 2),
        ("0::/a\n", {"a/memory.max": "max", "a/memory.high": str(3 * GIB), "memory.max": str(8 * GIB)}, 3),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": str(4 * GIB)}, 4),
        (V1, {"memory/memory.limit_in_bytes": "9223372036854771712"}, 64),
    ],
    ids=["none", "v2", "v2 above", "v1", "v1 none"],
)
def test_the_least_limit_of_memory_counts(tmp_path, membership, files, expected):
    assert limits(tmp_path, membership, files).memory() == expected * GIB


def test_stages_take_as_many_threads_as_there_are_processors(monkeypatch):
    from wordmask import Segmenter

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert Segmenter("tiny").threads == 1
