"""Finds a bundle by name or path and checks its files before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from wordmask.bundle.file_checks import check_file
from wordmask.bundle.manifest import AnyManifest, File, Manifest
from wordmask.bundle.manifest_reading import read_any_manifest, read_manifest
from wordmask.bundle.search import find_bundle, from_elsewhere
from wordmask.errors import BundleError

M_co = TypeVar("M_co", bound=AnyManifest, covariant=True)


@dataclass(frozen=True)
class Bundle(Generic[M_co]):
    """A bundle: its folder, and the manifest that was read from there and names its files."""

    folder: Path
    manifest: M_co

    def path(self, file: File) -> Path:
        """The path of a file of the bundle."""
        return self.folder / file.file


PipelineBundle = Bundle[Manifest]
AnyBundle = Bundle[AnyManifest]  # or one for features only


def open_bundle(name: str | Path | None = None) -> PipelineBundle:
    """Finds a bundle, reads its manifest and checks every file of it.

    Raises:
        BundleError: not found, for features only, or a file is missing, not the one that was built, or reaches beyond
            the bundle.
    """
    return _open(name, read_manifest)


def open_any_bundle(name: str | Path | None = None) -> AnyBundle:
    """The same, of either kind."""
    return _open(name, read_any_manifest)


def _open(name: str | Path | None, read: Callable[[Path], M_co]) -> Bundle[M_co]:
    folder = find_bundle(name)
    try:
        manifest = read(folder)
        with ThreadPoolExecutor(4, "hash") as pool:  # hashing leaves the interpreter lock
            list(pool.map(lambda file: check_file(folder / file.file, file), manifest.files()))
    except BundleError as error:
        if name is None or not from_elsewhere(name):
            raise
        raise BundleError(f"{error} (of {name}; remove {folder} to have it made again)") from error
    return Bundle(folder, manifest)
