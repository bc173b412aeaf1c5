"""Files of which nothing ever stands partial under its final name."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from wordmask.errors import OutputError

TEMPORARY = ".wordmask-part-"  # begins the name of a file that is not complete


def write_files(contents: Mapping[Path, Iterable[bytes]]) -> None:
    """Writes files of which none ever stands partial under its name, not even after a loss of power.

    All are written and on the disk, as temporary files beside their places, before the first takes its name.

    Args:
        contents: a file's parts by its path.

    Raises:
        OutputError: a file cannot be written; what was there before stands.
    """
    written: dict[Path, Path] = {}
    path = Path()
    try:
        for path, parts in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
            written[path] = Path(temporary)
            with os.fdopen(descriptor, "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(descriptor)
        for path, part in written.items():
            part.chmod(0o644)
            part.replace(path)
        for folder in {path.parent for path in written}:
            _sync_folder(folder)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        for temporary_path in written.values():
            temporary_path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes one file; see write_files."""
    write_files({path: [content]})
