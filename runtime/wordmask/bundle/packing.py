"""Packs a bundle into one file: an uncompressed zip archive of its files, with their hashes in SHA256SUMS.

The format is a plain one: where there is no wordmask, `unzip` unpacks it and `sha256sum -c SHA256SUMS` checks it. The
same bundle gives the same bytes. TensorRT engines stay out: they are code for one machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from wordmask.bundle.card import CARD_NAME, LICENCES_NAME, licences, model_card
from wordmask.bundle.manifest import File
from wordmask.bundle.manifest_reading import FILE_NAME
from wordmask.bundle.opening import AnyBundle
from wordmask.bundle.unpacking import SUMS_NAME
from wordmask.errors import BundleError
from wordmask.system.files import atomic_file

_CHUNK = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that an archive can name
_MODE = 0o100644 << 16  # of a regular file that all may read


def pack(bundle: AnyBundle, out: Path) -> str:
    """Writes a bundle as one file.

    Args:
        bundle: whose files are checked.
        out: the file; what has its name is replaced at the end.

    Returns:
        The file's SHA-256.

    Raises:
        BundleError: a file of the bundle cannot be read, or has changed since it was checked.
        OutputError: the file cannot be written.
    """
    manifest = bundle.manifest
    texts = {
        CARD_NAME: _own_card(bundle) or model_card(manifest).encode(),
        LICENCES_NAME: licences(manifest).encode(),
        FILE_NAME: manifest.to_json().encode(),
    }
    with atomic_file(out) as stream, ZipFile(stream, "w", ZIP_STORED) as archive:
        sums = {name: _add(archive, name, len(text), [text]) for name, text in texts.items()}
        for file in manifest.files():
            sums[file.file] = _add(archive, file.file, file.size, _read(bundle.path(file)))
            _check_unchanged(bundle, file, sums[file.file])
        table = "".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode()
        _add(archive, SUMS_NAME, len(table), [table])
    with out.open("rb") as packed:
        return hashlib.file_digest(packed, "sha256").hexdigest()


def _own_card(bundle: AnyBundle) -> bytes:
    """The bundle's own README.md, if it has one."""
    path = bundle.folder / CARD_NAME
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def _add(archive: ZipFile, name: str, size: int, parts: Iterable[bytes]) -> str:
    """Adds a file; gives its SHA-256."""
    info = ZipInfo(name, _EPOCH)
    info.create_system, info.external_attr, info.file_size = 3, _MODE, size  # 3: its modes are those of Unix
    digest = hashlib.sha256()
    with archive.open(info, "w") as entry:
        for part in parts:
            digest.update(part)
            entry.write(part)
    return digest.hexdigest()


def _read(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error


def _check_unchanged(bundle: AnyBundle, file: File, sha256: str) -> None:
    if sha256 != file.sha256:
        raise BundleError(f"{bundle.path(file)}: was changed while it was packed; pack the bundle again")
