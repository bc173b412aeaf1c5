"""A bundle that can be opened and not run: tiny's manifest over files of a few kilobytes."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import TypeVar

from wordmask.bundle.manifest import File, Manifest
from wordmask.bundle.manifest_reading import FILE_NAME, read_manifest

F = TypeVar("F", bound=File)
TINY = Path(__file__).resolve().parents[2] / "models_cache" / "tiny"


def write_hollow_bundle(folder: Path, *, stride: int = 32) -> Manifest:
    """Writes such a bundle into a new folder; another stride makes it another build. Gives its manifest."""
    manifest = read_manifest(TINY)
    folder.mkdir()
    graphs = {name: _write(folder, entry) for name, entry in manifest.graphs.items()}
    clip = dataclasses.replace(manifest.clip, stride=stride, merges=_write(folder, manifest.clip.merges))
    made = dataclasses.replace(manifest, graphs=graphs, clip=clip).sealed()
    (folder / FILE_NAME).write_text(made.to_json(), encoding="utf-8")
    return made


def _write(folder: Path, entry: F) -> F:
    content = entry.file.encode() * 200
    (folder / entry.file).write_bytes(content)
    return dataclasses.replace(entry, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
