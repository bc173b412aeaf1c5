"""Reads manifest.json, of either kind of bundle. The parser is strict and names the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from wordmask.bundle.manifest import SCHEMA, AnyManifest, FeaturesManifest, Manifest, bundle_id
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
    return _read(folder, _parse_pipeline)


def read_any_manifest(folder: Path) -> AnyManifest:
    """Reads and checks the manifest of a bundle of either kind.

    Raises:
        ManifestError: see read_manifest.
    """
    return _read(folder, _parse)


def parse(text: str) -> Manifest:
    """Parses the text of a manifest; see read_manifest."""
    return _parse_pipeline(load_json(text))


def _read(folder: Path, parse_json: Callable[[Any], Parsed]) -> Parsed:
    path = folder / FILE_NAME
    try:
        raw = read_json(path)
    except ManifestError as error:
        raise ManifestError(f"{error}; build or copy the bundle again") from error
    try:
        return parse_json(raw)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def _parse_pipeline(raw: Any) -> Manifest:
    _check_schema(raw)
    if isinstance(raw, dict) and "kind" in raw:
        raise ManifestError(f"kind is {show(raw['kind'])}: such a bundle has no words; `wordmask features` takes it")
    manifest = _parse(raw)
    assert isinstance(manifest, Manifest)
    return manifest


def _parse(raw: Any) -> AnyManifest:
    _check_schema(raw)
    manifest: AnyManifest = parse_as(
        FeaturesManifest if isinstance(raw, dict) and "kind" in raw else Manifest, raw, "manifest"
    )
    if isinstance(manifest, Manifest):
        check_contents(manifest)
    else:
        check_features(manifest)
    if manifest.bundle_id != bundle_id(manifest):
        raise ManifestError("bundle_id does not fit the contents: the manifest was edited or mixed from two builds")
    return manifest


def _check_schema(raw: Any) -> None:
    if isinstance(raw, dict) and raw.get("schema") != SCHEMA:
        found = show(raw.get("schema"))
        advice = "build the bundle again, or take the wordmask that made it"
        raise ManifestError(f"schema is {found}, this version of wordmask reads {SCHEMA}: {advice}")
