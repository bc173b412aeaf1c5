"""Finds a bundle by name or path and checks its files before anything is loaded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from wordmask.bundle.file_checks import check_file
from wordmask.bundle.manifest import AnyManifest, FeaturesManifest, File, Manifest
from wordmask.bundle.manifest_reading import read_any_manifest, read_manifest
from wordmask.bundle.search import find_bundle


@dataclass(frozen=True)
class Bundle:
    """A bundle: its folder, whose files are those of the manifest, which was read from there."""

    folder: Path
    manifest: Manifest

    def path(self, file: File) -> Path:
        """Where a file of the bundle stands."""
        return self.folder / file.file


@dataclass(frozen=True)
class FeaturesBundle:
    """The same, of a bundle for features only."""

    folder: Path
    manifest: FeaturesManifest

    def path(self, file: File) -> Path:
        """Where a file of the bundle stands."""
        return self.folder / file.file


AnyBundle = Bundle | FeaturesBundle


def open_bundle(name: str | Path | None = None) -> Bundle:
    """Finds a bundle, reads its manifest and checks every file of it.

    Raises:
        BundleError: not found, for features only, or a file is missing, not the one that was built, or reaches beyond
            the bundle.
    """
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    return Bundle(folder, manifest)


def open_any_bundle(name: str | Path | None = None) -> AnyBundle:
    """The same, of either kind."""
    folder = find_bundle(name)
    manifest = read_any_manifest(folder)
    _check_files(folder, manifest)
    return Bundle(folder, manifest) if isinstance(manifest, Manifest) else FeaturesBundle(folder, manifest)


def _check_files(folder: Path, manifest: AnyManifest) -> None:
    with ThreadPoolExecutor(4, "hash") as pool:  # hashing leaves the interpreter lock
        list(pool.map(lambda file: check_file(folder / file.file, file), manifest.files()))
