"""Segments many photos on a cluster: Ray Data passes paths to a pool of actors; the driver records the outcomes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wordmask.distributed.cluster import ClusterResources
from wordmask.distributed.crash_counts import CrashCounts
from wordmask.distributed.journal_mirror import mirrored
from wordmask.distributed.worker import Failure, SegmenterLoader, Task, Worker, WorkerConfig, packed, unpacked
from wordmask.errors import ClusterError, OutputError
from wordmask.outputs.layout import FILES
from wordmask.outputs.lock import run_lock
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.outputs.resume import Plan
from wordmask.outputs.run_record import RunRecord
from wordmask.outputs.store import Folder
from wordmask.photo.url import Url
from wordmask.run.execution import StoppedError, execute
from wordmask.run.local import HEARTBEAT
from wordmask.run.photo_work import Outcome
from wordmask.run.request import RunControl, RunRequest, SegmenterInfo

NO_PROCESS = 0  # in `started` rows: no supervisor watches, crashes are counted on the cluster
PHOTOS_PER_TASK = 4
MAX_TASKS = 20_000  # each is an object in Ray's memory from the beginning


def run_on_cluster(
    request: RunRequest,
    info: SegmenterInfo,
    loader: SegmenterLoader,
    resources: ClusterResources,
    control: RunControl,
) -> RunRecord:
    """Segments every photo, as run.local.run_folder does, and raises the same errors.

    Args:
        request: what to segment.
        info: of the workers' segmenters.
        loader: loads the segmenter in each worker.
        resources: number of workers and what each needs. The cluster is connected.
        control: how to follow and end the run.

    Raises:
        ClusterError: a worker cannot process photos.
    """
    place = request.out
    out = RemoteFolder(place) if isinstance(place, Url) else Folder(place.absolute())
    config = WorkerConfig(loader, Path.cwd(), replace(request, jobs=()), out)
    with run_lock(out.home), contextlib.ExitStack() as stack:
        if isinstance(out, RemoteFolder):
            mirror = stack.enter_context(mirrored(out))
            control = replace(control, progress=_both(control.progress, mirror.touch))
        return execute(request, info, out, RayWorkers(config, resources, control.stop), control)


def _both(progress: Callable[[int], None], touch: Callable[[], None]) -> Callable[[int], None]:
    def called(done: int) -> None:
        progress(done)
        touch()

    return called


@dataclass(frozen=True)
class RayWorkers:
    """A pool of Ray actors (see wordmask.run.execution.PhotoWorkers)."""

    config: WorkerConfig
    resources: ClusterResources
    stop: threading.Event

    def process_photos(self, plan: Plan) -> Generator[Outcome, None, None]:
        """In whatever order the workers finish the photos."""
        tasks = [*(Task(job, 1) for job in plan.suspects), *(Task(job, 0) for job in plan.rest)]
        if not tasks:
            return
        for task in tasks:
            plan.journal.start(task.job, process=NO_PROCESS)
        missing = len(tasks)
        for answer in _until(self.stop, _answers(tasks, self.config, self.resources)):
            if isinstance(answer, Failure):
                raise OutputError(answer.text) if answer.cannot_write else ClusterError(answer.text)
            missing -= 1
            yield answer
        if missing:
            raise ClusterError(f"{missing} photos have no outcome from the cluster: run again to process them")
        self.config.out.tidy(tuple(FILES))  # of workers that were killed while they wrote


def _answers(tasks: Sequence[Task], config: WorkerConfig, resources: ClusterResources) -> Iterator[Outcome | Failure]:
    """The workers' outcomes. Ray restarts an actor that dies and repeats its task."""
    in_flight = config.request.in_flight
    size = photos_per_task(len(tasks), resources.workers * in_flight)
    blocks = [packed("task", tasks[first : first + size]) for first in range(0, len(tasks), size)]
    workers = min(resources.workers, len(blocks))
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    crashes = ray.remote(CrashCounts).options(num_cpus=0, scheduling_strategy=here).remote(workers)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = workers
    rows = ray.data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(config, crashes),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=workers,
            max_concurrent_calls_per_actor=in_flight,
            enable_true_multi_threading=True,
            max_tasks_in_flight_per_actor=in_flight + 1,  # one more than threads, so that none waits
        ),
        num_cpus=config.loader.threads,
        num_gpus=resources.gpus,
    )
    for table in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from unpacked(table, "outcome")


def photos_per_task(photos: int, threads: int) -> int:
    """Small, so that all threads end together, rows arrive soon and a crash repeats little; larger in a huge run."""
    return max(1, min(PHOTOS_PER_TASK, photos // (4 * threads)), photos // MAX_TASKS)


def _until(stop: threading.Event, answers: Iterator[Any]) -> Iterator[Any]:
    """Yields the answers; raises StoppedError soon after `stop` is set, as Ray's iterator cannot be interrupted."""
    arrived: queue.Queue[tuple[str, Any]] = queue.Queue()

    def take() -> None:
        try:
            for answer in answers:
                arrived.put(("answer", answer))
            arrived.put(("end", None))
        except Exception as error:
            arrived.put(("error", error))

    threading.Thread(target=take, name="answers", daemon=True).start()
    while not stop.is_set():
        try:
            kind, value = arrived.get(timeout=HEARTBEAT)
        except queue.Empty:
            continue
        if kind == "end":
            return
        if kind == "error":
            lines = str(value).strip().splitlines() or [type(value).__name__]
            raise ClusterError(f"Ray: {' ... '.join(dict.fromkeys((lines[0], lines[-1])))}") from value
        yield value
    raise StoppedError
