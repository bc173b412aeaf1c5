"""Opens a packed bundle: unpacks it once into the user's cache.

A packed bundle is data from strangers. Its entries are plain names without folders, stored without compression, none
larger than the file itself, and their hashes are those of SHA256SUMS; whatever else an archive can hold is refused. The
folder then passes the checks of any other bundle (wordmask.bundle.opening).
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from wordmask.bundle.failed_downloads import what_is
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.errors import BundleError, OutputError
from wordmask.system.user_cache import made_once

SUFFIX, SUMS_NAME = ".wordmask", "SHA256SUMS"
FOLDER = "packed"  # in the cache
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SUM = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>\S+)")
_MOST_ENTRIES, _MOST_SUMS = 64, 1 << 16  # files; bytes of SHA256SUMS
_CHUNK = 1 << 20
_ENCRYPTED = 1
# What zipfile raises for odd archives.
_DAMAGED = (BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError, struct.error)


def unpacked(path: Path) -> Path:
    """The folder of a packed bundle, in the cache under the hash of its SHA256SUMS.

    Raises:
        BundleError: it is no packed bundle, or a damaged one.
        OutputError: the cache cannot be written.
    """
    try:
        with path.open("rb") as stream, ZipFile(stream) as archive:
            entries = _entries(path, archive)
            table = _read_table(path, archive, entries.pop(SUMS_NAME))
            sums = _sums(path, table, entries)
            name = f"{FOLDER}/{hashlib.sha256(table).hexdigest()[:32]}"
            return made_once(name, lambda work: _extract(path, archive, entries, sums, work))
    except (BundleError, OutputError):
        raise
    except _DAMAGED as error:
        advice = "copy or download it again, or name the folder of a bundle"
        raise BundleError(f"{path}: is not a packed bundle, or damaged ({error}){what_is(path)}; {advice}") from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error


def _entries(path: Path, archive: ZipFile) -> dict[str, ZipInfo]:
    """The archive's entries by name, if all are what `pack` writes."""
    infos = archive.infolist()
    names = {info.filename.lower() for info in infos}
    odd = next((info.filename for info in infos if not _is_plain(info)), None)
    if odd is not None:
        raise BundleError(f"{path}: holds {odd!r}, and a packed bundle holds uncompressed files with plain names alone")
    if len(names) < len(infos) or len(infos) > _MOST_ENTRIES:
        raise BundleError(f"{path}: holds a name twice, or more than {_MOST_ENTRIES} files")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise BundleError(f"{path}: its files would be larger than itself")
    entries = {info.filename: info for info in infos}
    for name in (SUMS_NAME, FILE_NAME):
        if name not in entries:
            raise BundleError(f"{path}: is not a packed bundle: it holds no {name}; `wordmask pack` makes one")
    return entries


def _is_plain(info: ZipInfo) -> bool:
    stored = info.compress_type == ZIP_STORED and info.compress_size == info.file_size
    return stored and not info.flag_bits & _ENCRYPTED and bool(_PLAIN_NAME.fullmatch(info.filename))


def _read_table(path: Path, archive: ZipFile, info: ZipInfo) -> bytes:
    if info.file_size > _MOST_SUMS:
        raise BundleError(f"{path}: {SUMS_NAME} has {info.file_size} bytes, expected at most {_MOST_SUMS}")
    return b"".join(_read(path, archive, info))


def _sums(path: Path, table: bytes, entries: dict[str, ZipInfo]) -> dict[str, str]:
    """The SHA-256 of each entry, as SHA256SUMS has it."""
    lines = [_SUM.fullmatch(line) for line in table.decode("ascii", "replace").splitlines()]
    sums = {line["name"]: line["sha256"] for line in lines if line}
    if len(sums) < len(lines) or sums.keys() != entries.keys():
        raise BundleError(f"{path}: {SUMS_NAME} does not list the files of the archive, each once")
    return sums


def _extract(path: Path, archive: ZipFile, entries: dict[str, ZipInfo], sums: dict[str, str], work: Path) -> None:
    for name, info in entries.items():
        digest = hashlib.sha256()
        with (work / name).open("xb") as target:
            for chunk in _read(path, archive, info):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != sums[name]:
            raise BundleError(f"{path}: the sha256 of {name} is not that in {SUMS_NAME}: copy or download it again")


def _read(path: Path, archive: ZipFile, info: ZipInfo) -> Iterator[bytes]:
    """An entry's bytes; an error of reading is told from one of writing them."""
    try:
        with archive.open(info) as source:
            while chunk := source.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror}): copy or download it again") from error
