"""The user's cache: files that can be made again, such as embeddings of words and bundles from elsewhere."""

from __future__ import annotations

import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

from wordmask.errors import OutputError
from wordmask.system.files import TEMPORARY, atomic_folder
from wordmask.system.locks import FileLock

LOCK = ".lock"
WAIT = 0.2  # seconds between two tries to take the lock
logger = logging.getLogger(__name__)


def user_cache() -> Path:
    """Cache folder, whose files can be made again: $WORDMASK_CACHE, or wordmask in the user's cache folder.

    A user without a home gets a folder of their own among the temporary ones.
    """
    own = os.environ.get("WORDMASK_CACHE")
    if own:
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wordmask"
    except RuntimeError:  # neither $HOME nor an entry for the user
        return temporary_cache()


@cache
def temporary_cache() -> Path:
    """The same where the user's cache cannot be: one for all processes of the user, if nobody else may write it."""
    folder = Path(tempfile.gettempdir()) / f"wordmask-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
    except OSError:
        return Path(tempfile.mkdtemp(prefix="wordmask-"))
    private = stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022
    return folder if private else Path(tempfile.mkdtemp(prefix="wordmask-"))


def writable_cache() -> Path:
    """`user_cache`, or a temporary one where nothing can be written there."""
    folder = user_cache()
    return folder if is_writable(folder) else temporary_cache()


def is_writable(folder: Path) -> bool:
    """Whether a folder can be written, or be made where it is missing."""
    nearest = next((place for place in (folder.absolute(), *folder.absolute().parents) if place.exists()), folder)
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the cache that one process makes, and that all later ones find.

    Args:
        name: of the folder in the cache, with slashes; the same name stands for the same content.
        make: fills an empty folder, which then gets its name.

    Raises:
        OutputError: the cache cannot be written.
    """
    folder = user_cache() / name
    if folder.is_dir():
        return folder
    folder = writable_cache() / name
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / LOCK)
        try:
            _wait_for(lock, folder)
            for leftover in folder.parent.glob(f"{TEMPORARY}*"):  # of a process that was killed: this one has the lock
                shutil.rmtree(leftover, ignore_errors=True)
            if not folder.is_dir():
                with atomic_folder(folder, durable=True) as work:
                    make(work)
        finally:
            lock.close()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return folder


def _wait_for(lock: FileLock, folder: Path) -> None:
    if lock.take():
        return
    gone = f"; if it is gone, remove {lock.lock_file}" if lock.lock_file else ""
    logger.warning("waiting for %s, which writes to %s%s", lock.holder(), folder.parent, gone)
    while not lock.take():
        time.sleep(WAIT)
