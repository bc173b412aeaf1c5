"""Reads manifest.json, of either kind of bundle. The parser is strict and names the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wordmask.bundle.manifest import SCHEMA, AnyManifest, Contents, FeaturesManifest, Manifest, bundle_id
from wordmask.bundle.manifest_checks import check_contents, check_features
from wordmask.bundle.strict_json import load_json, parse_as, read_json, show
from wordmask.errors import ManifestError

FILE_NAME = "manifest.json"
Parsed = TypeVar("Parsed")


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest of a bundle folder.

    Raises:
        ManifestError: missing, not JSON, unknown schema or field, wrong type or value, a bundle id that does not fit,
            or a bundle for features only.
    """
    return read_with(folder, parse_pipeline)


def read_any_manifest(folder: Path) -> AnyManifest:
    """Reads and checks the manifest of a bundle of either kind.

    Raises:
        ManifestError: see read_manifest.
    """
    return read_with(folder, _parse)


def read_with(folder: Path, parse: Callable[[Any], Parsed]) -> Parsed:
    """Reads a bundle folder's manifest; errors of `parse`, which is given its JSON, get the path in front."""
    path = folder / FILE_NAME
    try:
        raw = read_json(path)
    except ManifestError as error:
        raise ManifestError(f"{error}; build or copy the bundle again") from error
    try:
        return parse(raw)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def parse(text: str) -> Manifest:
    """Parses the text of a manifest; see read_manifest."""
    return parse_pipeline(load_json(text))


def parse_pipeline(raw: Any) -> Manifest:
    """Parses the JSON of a manifest; see read_manifest."""
    check_schema(raw)
    if isinstance(raw, dict) and "kind" in raw:
        raise ManifestError(f"kind is {show(raw['kind'])}: such a bundle has no words; `wordmask features` takes it")
    manifest = parse_as(Manifest, raw, "manifest")
    assert isinstance(manifest, Manifest)
    check_contents(manifest)
    check_id(manifest, manifest.bundle_id)
    return manifest


def _parse(raw: Any) -> AnyManifest:
    if not isinstance(raw, dict) or "kind" not in raw:
        return parse_pipeline(raw)
    check_schema(raw)
    manifest = parse_as(FeaturesManifest, raw, "manifest")
    assert isinstance(manifest, FeaturesManifest)
    check_features(manifest)
    check_id(manifest, manifest.bundle_id)
    return manifest


def check_schema(raw: Any) -> None:
    """Raises ManifestError if a manifest's JSON is of another version."""
    if isinstance(raw, dict) and raw.get("schema") != SCHEMA:
        found = show(raw.get("schema"))
        advice = "build the bundle again, or take the wordmask that made it"
        raise ManifestError(f"schema is {found}, this version of wordmask reads {SCHEMA}: {advice}")


def check_id(manifest: Contents, found: str) -> None:
    """Raises ManifestError if a manifest's bundle id is another one."""
    if found != bundle_id(manifest):
        raise ManifestError("bundle_id does not fit the contents: the manifest was edited or mixed from two builds")
