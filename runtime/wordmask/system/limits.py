"""How many processors and how much memory this process may use: what the machine has, or less where less is allowed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Limits:
    """Where a process's limits stand.

    Attributes:
        cgroups: where the kernel's control groups are mounted.
        membership: the kernel's file that names this process's groups.
        environment: variables; OMP_NUM_THREADS is a limit of the user's.
    """

    cgroups: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)

    def processors(self) -> int:
        """Threads that can run at the same time: cores, affinity, quotas of control groups, OMP_NUM_THREADS."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min([cores, *map(int, self._quotas()), *self._threads()]))

    def memory(self) -> int:
        """Bytes: the machine's, or the least limit of a control group."""
        least = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            for text in self._values("memory", name):
                with contextlib.suppress(ValueError):  # "max" is none
                    least = min(least, int(text))
        return least

    def _quotas(self) -> Iterator[float]:
        """Processors that each group allows."""
        for text in self._values("cpu", "cpu.max"):
            with contextlib.suppress(ValueError, ZeroDivisionError):
                quota, period = text.split()
                yield int(quota) / int(period)
        periods = self._values("cpu", "cpu.cfs_period_us")
        for text, period in zip(self._values("cpu", "cpu.cfs_quota_us"), periods, strict=False):
            with contextlib.suppress(ValueError, ZeroDivisionError):
                if int(text) > 0:  # -1 is none
                    yield int(text) / int(period)

    def _threads(self) -> Iterator[int]:
        with contextlib.suppress(KeyError, ValueError):
            threads = int(self.environment["OMP_NUM_THREADS"].split(",")[0])
            if threads > 0:
                yield threads

    def _values(self, controller: str, name: str) -> Iterator[str]:
        """What a file holds in the process's group of a controller and in each group above it."""
        for folder in self._groups(controller):
            with contextlib.suppress(OSError):
                yield (folder / name).read_text(encoding="ascii").strip()

    def _groups(self, controller: str) -> Iterator[Path]:
        try:
            lines = self.membership.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            number, controllers, path = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            # Version 2 has one tree, version 1 one for each list of controllers. In a container the path may be that
            # outside of it, and the tree begins at its own group: so the top counts too.
            names = ("unified", "") if number == "0" and not controllers else (controllers, controller)
            own = Path(path.lstrip("/"))
            yield from dict.fromkeys(self.cgroups / name / below for name in names for below in (own, *own.parents))


def processors() -> int:
    """Threads that this process can run at the same time; see Limits."""
    return Limits().processors()


def memory() -> int:
    """Bytes that this process may take; see Limits."""
    return Limits().memory()
