"""The cache of engines on disk: one writer at a time, whole engines only, nothing that others may write."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from wordmask.bundle.engines import (
    FOLDER,
    PLAN,
    SIDECAR,
    Request,
    Sidecar,
    check_owner,
    read_plan,
    read_sidecar,
    sidecars,
)
from wordmask.errors import EngineError
from wordmask.system.files import TEMPORARY, atomic_folder, remove_folder, write_bytes
from wordmask.system.locks import FileLock
from wordmask_export.tensorrt.api import EngineBuildError

WAIT = 0.2  # seconds
LOCK, LOG, TIMING = ".lock", "build.log", "timing.cache"
Log = Callable[[str], None]


@contextlib.contextmanager
def locked(bundle: Path, report: Log) -> Iterator[Path]:
    """Holds the lock of a bundle's engines; gives their folder, made private, without what killed builds left.

    Args:
        bundle: its folder.
        report: is told whom this waits for.

    Raises:
        EngineBuildError: the folder is a link or another user's.
    """
    folder = bundle / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _make_private(folder)
    lock = FileLock(folder / LOCK, mode=0o600)
    try:
        if not lock.take():
            report(f"process {os.getpid()} waits for {lock.holder()}, which builds engines of {bundle}")
            while not lock.take():
                time.sleep(WAIT)
        for leftover in folder.glob(f"{TEMPORARY}*"):  # nobody else writes now
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()
        yield folder
    finally:
        lock.close()


def _make_private(folder: Path) -> None:
    facts = folder.lstat()
    if folder.is_symlink() or facts.st_uid != os.getuid():
        raise EngineBuildError(
            f"{folder}: is a link or belongs to user {facts.st_uid}: engines are code, so they are written only to a "
            "folder of your own; remove it, or copy the bundle"
        )
    try:
        folder.chmod(0o700)
    except PermissionError:  # a file system with fixed modes: they may do
        check_owner(folder)


def up_to_date(engines: Path, request: Request) -> Sidecar | None:
    """The sidecar of an engine that stands there, whole and fit to be run; None if it must be built."""
    folder = engines / request.key
    try:
        sidecar = read_sidecar(folder)
        read_plan(folder, sidecar)
    except EngineError:
        return None
    return sidecar if sidecar.request == request else None


def store(engines: Path, sidecar: Sidecar, plan: bytes, log: str) -> Path:
    """Writes an engine, whole or not at all, in place of an earlier one. Gives its folder."""
    target = engines / sidecar.request.key
    with atomic_folder(target, mode=0o700, durable=True, replace=True) as work:
        for name, content in ((PLAN, plan), (LOG, log.encode()), (SIDECAR, sidecar.to_json().encode())):
            (work / name).touch(mode=0o600)
            (work / name).write_bytes(content)
    return target


def remove_stale(bundle: Path, request: Request, *, prune: bool) -> list[str]:
    """Removes what an engine that was just built or kept replaces; gives the keys.

    That is every engine of the same graph from another ONNX file, which no longer exists, and the one for other
    profiles that would be found in this one's place. Engines of other GPUs, precisions and versions of TensorRT stay.

    Args:
        bundle: its folder.
        request: of the engine that stays.
        prune: also those of the same GPU architecture for other versions of TensorRT.
    """
    gone = []
    for folder, sidecar in sidecars(bundle):
        other = sidecar.request
        if other.graph != request.graph or other == request:
            continue
        replaced = (other.precision, other.target) == (request.precision, request.target)
        outdated = other.target != request.target and other.target.architecture == request.target.architecture
        if other.onnx_sha256 != request.onnx_sha256 or replaced or (prune and outdated):
            remove_folder(folder)
            gone.append(folder.name)
    return gone


def read_timing(engines: Path) -> bytes:
    """TensorRT's timing cache of earlier builds; empty if there is none or others could have written it."""
    path = engines / TIMING
    try:
        check_owner(path)
        return path.read_bytes()
    except (EngineError, OSError):
        return b""


def write_timing(engines: Path, content: bytes) -> None:
    """Replaces the timing cache at once."""
    write_bytes(engines / TIMING, content, mode=0o600)
