"""A cluster of Ray to work on: one that runs already, or one of this machine alone that ends with the run."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wordmask.errors import ClusterError

LOCAL = "local"
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # else a plain run gets ten times its share of a busy machine
}
PATIENCE = 5.0  # seconds for a cluster to answer
OBJECTS = 128 << 20  # bytes: rows are small, and photos and outputs do not pass through Ray


@dataclass(frozen=True)
class Crew:
    """Who works on the photos.

    Attributes:
        address: of a cluster that runs, or LOCAL.
        workers: how many, each with a segmenter of its own.
        threads: CPU threads a worker; None takes as many as there is room for.
        gpus: of a worker, which may be a part of one.
    """

    address: str = LOCAL
    workers: int = 1
    threads: int | None = None
    gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"--workers is {self.workers}: it must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}: it must be at least 1")
        if self.gpus < 0 or (self.gpus > 1 and self.gpus != int(self.gpus)):
            raise ValueError(f"--gpus-per-worker is {self.gpus:g}, expected a part of one GPU, or whole ones")

    def placed(self, nodes: list[dict[str, float]]) -> int:
        """The threads of a worker.

        Args:
            nodes: what each machine of the cluster has.

        Raises:
            ClusterError: there is no room for the workers.
        """
        most = int(max((node.get("CPU", 0) for node in nodes), default=0))
        wishes = [self.threads] if self.threads else range(most, 0, -1)
        for threads in wishes:
            if sum(self._room(node, threads) for node in nodes) >= self.workers:
                return threads
        found = sum(self._room(node, wishes[-1]) for node in nodes) if wishes else 0
        wanted = f"{self.workers} of {self.threads or 1} cores and {self.gpus:g} GPUs each"
        raise ClusterError(
            f"the cluster has room for {found} workers, not for {wanted}: ask for less, or start more nodes"
        )

    def _room(self, node: dict[str, float], threads: int) -> int:
        room = int(node.get("CPU", 0) // threads)
        return min(room, int(node.get("GPU", 0) / self.gpus + 1e-6)) if self.gpus else room


@contextlib.contextmanager
def connected(crew: Crew, cores: int) -> Iterator[list[dict[str, float]]]:
    """Joins the crew's cluster, or starts one here. Nothing is reported to anybody, and Ray says only what is an error.

    Args:
        crew: names the cluster.
        cores: of this machine, for a cluster of its own.

    Returns:
        What each machine of the cluster has, by Ray's names.

    Raises:
        ClusterError: there is no such cluster.
    """
    _check_reachable(crew.address)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray  # noqa: PLC0415 - after its environment is set
    import ray.data  # noqa: PLC0415 - sets its logger's level, which is lowered below

    own = not ray.is_initialized()
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if crew.address == LOCAL:
        wanted = crew.workers * crew.threads if crew.threads else max(cores, crew.workers)
        settings |= {"num_cpus": wanted, "include_dashboard": False, "object_store_memory": OBJECTS}
    if own:
        try:
            ray.init(address=crew.address, **settings)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ClusterError(
                f"no cluster of Ray at {crew.address!r} ({error}): start one with `ray start`"
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if own:  # after an error the process ends, and that is an end too
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises ClusterError where nobody answers: Ray would go on asking for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no cluster of Ray at {address!r} ({error}): start one with `ray start`") from error
