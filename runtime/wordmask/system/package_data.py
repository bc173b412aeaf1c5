"""Files that are shipped in packages, also where a package is imported from an archive."""

from __future__ import annotations

import atexit
import importlib.resources
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path


@cache
def data_path(package: str, name: str) -> Path:
    """A shipped file or folder on disk.

    What stands in an archive is taken out into a temporary folder, which is removed when the process ends.

    Args:
        package: its name; it is imported already.
        name: relative to the package, with slashes.

    Returns:
        Its path, also where there is no such file.
    """
    path = Path(sys.modules[package].__path__[0]) / name
    if path.exists():
        return path
    archived = importlib.resources.files(package).joinpath(name)
    if not (archived.is_file() or archived.is_dir()):
        return path
    folder = Path(tempfile.mkdtemp(prefix="wordmask-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for source, below in _files(archived, Path(path.name)):
        (folder / below).parent.mkdir(parents=True, exist_ok=True)
        (folder / below).write_bytes(source.read_bytes())
    return folder / path.name


def _files(place: Traversable, below: Path) -> Iterator[tuple[Traversable, Path]]:
    if place.is_file():
        yield place, below
        return
    for inside in place.iterdir():
        yield from _files(inside, below / inside.name)
