"""Segments many photos on a cluster: Ray Data hands paths to a pool of actors, and their rows are taken down here."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ray
import ray.data
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from wordmask.distributed.cluster import Crew
from wordmask.distributed.crash_counts import Ledger
from wordmask.distributed.journal_mirror import mirrored
from wordmask.distributed.worker import Errand, Failure, Task, Worker, packed, unpacked
from wordmask.errors import ClusterError, OutputError
from wordmask.outputs.lock import run_lock
from wordmask.outputs.remote_store import RemoteFolder
from wordmask.outputs.resume import Plan
from wordmask.outputs.store import Folder
from wordmask.outputs.summary import Totals
from wordmask.photo.url import Place, Url
from wordmask.run.execution import Outcome, Run, StoppedError, carry_out
from wordmask.run.local import HEARTBEAT

NOBODY = 0  # a process that no journal's reader watches: a photo's death is counted on the cluster
PHOTOS_A_TASK = 4
MOST_TASKS = 20_000  # each is an object of Ray's from the beginning


def store_at(out: Place) -> Folder | RemoteFolder:
    """The store of an output folder."""
    return RemoteFolder(out) if isinstance(out, Url) else Folder(Path(out).absolute())


def run_on_cluster(run: Run, errand: Errand, crew: Crew, stop: threading.Event) -> Totals:
    """Segments every photo, as run.local.run_folder does; what that raises is raised here too.

    Args:
        run: what it is about.
        errand: for the workers.
        crew: how many there are, and what each needs. The cluster is connected.
        stop: when set, the run ends soon.

    Raises:
        ClusterError: a worker cannot do its work.
    """
    if errand.in_flight < 1:
        raise ValueError(f"in_flight is {errand.in_flight}: it must be at least 1")
    out = errand.out
    work_off = partial(_work_off, errand, crew, stop)
    with run_lock(out.home), contextlib.ExitStack() as stack:
        if isinstance(out, RemoteFolder):
            mirror = stack.enter_context(mirrored(out))
            run = _and_then(run, mirror.touch)
        return carry_out(run, out, work_off)


def _and_then(run: Run, touch: Callable[[], None]) -> Run:
    """The run that calls `touch` after each photo."""

    def progress(done: int) -> None:
        run.progress(done)
        touch()

    return replace(run, progress=progress)


def _work_off(errand: Errand, crew: Crew, stop: threading.Event, plan: Plan) -> Generator[Outcome, None, None]:
    """Does what is left to do, in whatever order the workers finish it."""
    tasks = [*(Task(job, 1) for job in plan.suspects), *(Task(job, 0) for job in plan.rest)]
    if not tasks:
        return
    for task in tasks:
        plan.journal.start(task.job, process=NOBODY)
    missing = len(tasks)
    for answer in _until(stop, _answers(tasks, errand, crew)):
        if isinstance(answer, Failure):
            raise OutputError(answer.text) if answer.cannot_write else ClusterError(answer.text)
        missing -= 1
        yield answer
    if missing:
        raise ClusterError(f"{missing} photos did not come back from the cluster: run again to do them")


def _answers(tasks: Sequence[Task], errand: Errand, crew: Crew) -> Iterator[Outcome | Failure]:
    """The stream of rows. An actor that dies is started again, and what it was at work on is done again."""
    size = photos_a_task(len(tasks), crew.workers * errand.in_flight)
    blocks = [packed("task", tasks[first : first + size]) for first in range(0, len(tasks), size)]
    workers = min(crew.workers, len(blocks))
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    ledger = ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote(workers)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = workers
    rows = ray.data.from_arrow(blocks).map_batches(
        Worker,
        fn_constructor_args=(errand, ledger),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=workers,
            max_concurrent_calls_per_actor=errand.in_flight,
            enable_true_multi_threading=True,
            max_tasks_in_flight_per_actor=errand.in_flight + 1,  # one waits, so that no thread does
        ),
        num_cpus=errand.engine.threads,
        num_gpus=crew.gpus,
    )
    for table in rows.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        yield from unpacked(table, "outcome")


def photos_a_task(photos: int, threads: int) -> int:
    """Few, so that all threads end together, rows come soon and little is done again; more in a huge run."""
    return max(1, min(PHOTOS_A_TASK, photos // (4 * threads)), photos // MOST_TASKS)


def _until(stop: threading.Event, answers: Iterator[Any]) -> Iterator[Any]:
    """The same, and StoppedError soon after `stop` is set: Ray's iterator cannot be interrupted."""
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
