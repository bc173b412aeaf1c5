"""Connects to a running Ray cluster, or starts one on this machine that ends with the run."""

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
    "RAY_worker_niceness": "0",  # by default workers get a tenth of a plain run's share of a busy CPU
}
CONNECT_TIMEOUT = 5.0  # seconds
OBJECT_STORE = 128 << 20  # bytes: outcomes are small, and photos and outputs do not pass through Ray


@dataclass(frozen=True)
class ClusterResources:
    """Workers of a run and what each needs.

    Attributes:
        address: of a running cluster, or LOCAL.
        workers: number of processes, each with its own segmenter.
        threads: CPU threads per worker; None takes as many as the cluster has room for.
        gpus: GPUs per worker; may be a fraction of one.
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

    def threads_per_worker(self, nodes: list[dict[str, float]]) -> int:
        """The CPU threads of each worker.

        Args:
            nodes: resources of each machine of the cluster.

        Raises:
            ClusterError: the cluster has no room for the workers.
        """
        most = int(max((node.get("CPU", 0) for node in nodes), default=0))
        candidates = [self.threads] if self.threads else range(most, 0, -1)
        for threads in candidates:
            if sum(self._room(node, threads) for node in nodes) >= self.workers:
                return threads
        found = sum(self._room(node, candidates[-1]) for node in nodes) if candidates else 0
        wanted = f"{self.workers} of {self.threads or 1} cores and {self.gpus:g} GPUs each"
        raise ClusterError(
            f"the cluster has room for {found} workers, not for {wanted}: ask for less, or start more nodes"
        )

    def _room(self, node: dict[str, float], threads: int) -> int:
        room = int(node.get("CPU", 0) // threads)
        return min(room, int(node.get("GPU", 0) / self.gpus + 1e-6)) if self.gpus else room


@contextlib.contextmanager
def connected(resources: ClusterResources, cores: int) -> Iterator[list[dict[str, float]]]:
    """Joins the cluster, or starts one on this machine. Usage reports are off; Ray logs errors only.

    Args:
        resources: address of the cluster and size of a new one.
        cores: of this machine, for a new cluster.

    Returns:
        Resources of each machine of the cluster, by Ray's names.

    Raises:
        ClusterError: there is no such cluster.
    """
    _check_reachable(resources.address)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray  # noqa: PLC0415 - after its environment is set
    import ray.data  # noqa: PLC0415 - sets its logger's level, which is lowered below

    own = not ray.is_initialized()
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if resources.address == LOCAL:
        wanted = resources.workers * resources.threads if resources.threads else max(cores, resources.workers)
        settings |= {"num_cpus": wanted, "include_dashboard": False, "object_store_memory": OBJECT_STORE}
    if own:
        try:
            ray.init(address=resources.address, **settings)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            raise ClusterError(
                f"no cluster of Ray at {resources.address!r} ({error}): start one with `ray start`"
            ) from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    yield [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if own:  # after an error the process exits, which stops the cluster, too
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Raises ClusterError if nothing listens at the address: Ray itself would retry for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(f"no cluster of Ray at {address!r} ({error}): start one with `ray start`") from error
