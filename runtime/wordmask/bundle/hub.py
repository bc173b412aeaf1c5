"""Bundles on the Hugging Face hub: `hf:OWNER/NAME`, with `@REVISION` for a branch, tag or commit.

A repository there holds a bundle's files at its top. They are downloaded into huggingface_hub's cache (downloads.py);
further attempts are logged as warnings. The files are checked against the manifest, and linked or copied to
wordmask's cache. There the bundle is found from then on, without huggingface_hub and without a network, until `pull`
asks for a newer one.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from wordmask import extras
from wordmask.bundle.downloads import Place, download, forget_unproven
from wordmask.bundle.file_checks import check_file
from wordmask.bundle.manifest import File
from wordmask.bundle.manifest_reading import FILE_NAME, read_any_manifest
from wordmask.errors import BundleError, HubError
from wordmask.system.files import copy_file, write_bytes
from wordmask.system.user_cache import made_once, temporary_cache, user_cache, writable_cache

PREFIX = "hf:"
FOLDER = "hub"  # in the cache
_MOST_MANIFEST = 16 << 20  # bytes
_NAME = re.compile(r"hf:(?P<repository>[\w][\w.-]*/[\w][\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HubName:
    """A repository on the hub, such as OWNER/NAME, and a branch, tag or commit of it."""

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision != "main" else "")

    @property
    def folder(self) -> str:
        """Of the repository's commits in the cache."""
        return f"{FOLDER}/{self.repository.replace('/', '--')}"

    @property
    def reference(self) -> str:
        """The file in the cache with the commit that the branch or tag was when it was pulled."""
        return f"{self.folder}/refs/{quote(self.revision, safe='')}"


def parse_name(text: str) -> HubName:
    """Reads `hf:OWNER/NAME[@REVISION]`.

    Raises:
        BundleError: it has another form.
    """
    found = _NAME.fullmatch(text)
    if found is None or ".." in text or "--" in found["repository"]:
        raise BundleError(f"{text!r} names no bundle on the Hugging Face hub: expected hf:OWNER/NAME[@REVISION]")
    return HubName(found["repository"], found["revision"] or "main")


def pinned(name: str | None, folder: Path) -> str | None:
    """A bundle's name for other machines: of one on the hub with the commit that was found here in `folder`."""
    if name is None or not name.startswith(PREFIX):
        return name
    return str(HubName(parse_name(name).repository, folder.name))


def pulled(name: HubName) -> Path:
    """The folder of a bundle that was pulled before; pulls it the first time."""
    return next(_here(name), None) or pull(name)


def _here(name: HubName) -> Iterator[Path]:
    for cache in (user_cache(), temporary_cache()):
        commit = name.revision
        if not _COMMIT.fullmatch(commit):
            try:
                commit = (cache / name.reference).read_text(encoding="ascii").strip()
            except (OSError, UnicodeDecodeError):
                continue
        if _COMMIT.fullmatch(commit) and (cache / name.folder / commit).is_dir():
            yield cache / name.folder / commit


def pull(name: HubName) -> Path:
    """Downloads a bundle as it is on the hub now, unless that commit is here already.

    Raises:
        BundleError: it cannot be downloaded, is no bundle, or its files are not those of its manifest.
        MissingExtraError: huggingface_hub is not installed.
        OutputError: the cache cannot be written.
    """
    extras.need(f"a bundle on the hub ({name})", "hub", extras.HUB)
    manifest = _download(name, FILE_NAME, _MOST_MANIFEST)
    commit = manifest.parent.name
    folder = made_once(f"{name.folder}/{commit}", lambda work: _fill(work, manifest, HubName(name.repository, commit)))
    if name.revision != commit:
        write_bytes(writable_cache() / name.reference, f"{commit}\n".encode())
    return folder


def _fill(work: Path, manifest: Path, name: HubName) -> None:
    """Downloads the files that a manifest names, and checks each."""
    copy_file(manifest, work / FILE_NAME)
    try:
        files = read_any_manifest(work).files()
    except BundleError as error:
        forget_unproven(manifest)
        raise BundleError(f"{name} is not a bundle that can be used: {str(error).replace(f'{work}/', '')}") from error
    for file in files:
        path = _download(name, file.file, file.size)
        _check(name, path, file)
        try:
            os.link(path.resolve(), work / file.file)
        except OSError:  # on another file system, or one without hard links
            copy_file(path, work / file.file)


def _check(name: HubName, path: Path, file: File) -> None:
    try:
        check_file(path.resolve(), file)
    except BundleError as error:
        forget_unproven(path)
        advice = "pull again; if it comes back so, the repository mixes two builds"
        raise BundleError(f"{name}: {file.file} is not the manifest's ({error}): {advice}") from error


def _download(name: HubName, file: str, most: int) -> Path:
    """A file of the repository in huggingface_hub's cache, `most` bytes at most; of a branch or tag as it is now."""
    place = Place(name.repository, file, name.revision)
    try:
        return download(place, logger.warning, latest=_COMMIT.fullmatch(name.revision) is None, most=most)
    except OSError as error:  # a HubError, or a cached file cannot be read
        absent = "it is not at the top of the repository, so that holds no bundle, or not all of one"
        reason = absent if isinstance(error, HubError) and error.code == "NO_FILE" else error
        raise BundleError(f"{name}: {file} cannot be downloaded: {reason}") from error
