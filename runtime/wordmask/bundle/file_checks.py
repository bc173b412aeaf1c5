"""Checks the files of a bundle before anything is loaded from them.

A bundle is data, wherever it comes from: nothing in it may reach beyond its own folder, and nothing in it may be run.
So its files are plain files with the hashes of the manifest, and its graphs are ONNX files that hold all of their
weights. Weights outside the file would not be hashed, and ONNX Runtime reads them from wherever a hard link leads
(it refuses "..", absolute paths and symbolic links itself); a node of a compiled engine (EPContext) is machine code.

A symbolic link in place of a file is refused: what it leads to is not the bundle's, and a copy of the folder would lose
it. A hard link is not refused: its content is hashed like any other's, and package installers make such files.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import BinaryIO

from wordmask.bundle.failed_downloads import what_is
from wordmask.bundle.manifest import File, GraphEntry
from wordmask.errors import BundleError

_CHUNK = 1 << 20
# Where a tensor's data are in another file, its entry has the key "location": a protobuf string, so its bytes stand
# together, behind the last byte of their length: 8, or 0 where the length is padded.
_LOCATION, _LENGTHS = b"location", b"\x08\x00"
_ENGINE = b"EPContext"


def check_file(path: Path, file: File) -> None:
    """Checks that a file is the one in the manifest.

    Args:
        path: of the file.
        file: its manifest entry; a graph must also hold all of its weights, and no engine.

    Raises:
        BundleError: missing, a symlink, not a regular file, or its SHA-256 differs; or a graph with external data.
    """
    try:
        status = path.lstat()
        if stat.S_ISREG(status.st_mode) and status.st_size == file.size:
            with open(path, "rb", opener=_open_plain) as stream:
                digest, danger = _read(stream)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}); build or copy the bundle again") from error
    if stat.S_ISLNK(status.st_mode):
        raise BundleError(f"{path}: is a link; a bundle holds its files itself: copy them there (cp -L)")
    if not stat.S_ISREG(status.st_mode):
        raise BundleError(f"{path}: is not a regular file; build or copy the bundle again")
    if status.st_size != file.size:
        found = f"{status.st_size} bytes, the manifest says {file.size}"
        raise BundleError(f"{path}: {found}{what_is(path)}; build or copy the bundle again")
    if digest != file.sha256:
        raise BundleError(f"{path}: its sha256 is not the manifest's: damaged or exchanged; build or copy it again")
    if danger and isinstance(file, GraphEntry):
        raise BundleError(f"{path}: {danger}; build the bundle again with `wordmask build`")


def _open_plain(path: str, flags: int) -> int:
    # If a link or a pipe has replaced the file since lstat, it is neither followed nor waited for.
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def _read(stream: BinaryIO) -> tuple[str, str | None]:
    """The sha256 of a file, and what a graph must not hold if it is found; in one pass."""
    digest, danger, tail = hashlib.sha256(), None, b""
    while chunk := stream.read(_CHUNK):
        digest.update(chunk)
        danger = danger or find_danger(tail + chunk)
        tail = chunk[-len(_ENGINE) :]
    return digest.hexdigest(), danger


def find_danger(content: bytes) -> str | None:
    """What reaches beyond a graph in (a part of) its file; None if nothing does."""
    if _ENGINE in content:
        return "holds a compiled engine (EPContext), which is code; a bundle's graphs hold operators alone"
    position = content.find(_LOCATION)
    while position >= 0:
        if position and content[position - 1] in _LENGTHS:
            return "has weights in another file (external data); a bundle's graphs hold all of theirs"
        position = content.find(_LOCATION, position + 1)
    return None
